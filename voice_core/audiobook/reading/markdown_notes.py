"""Notes in Markdown: `word[^1]` with `[^1]: The note.`, and `word^[The note.]`."""

import re
from html import escape

from markdown_it import MarkdownIt
from markdown_it.rules_block import StateBlock
from markdown_it.rules_inline import StateInline

_LABEL = re.compile(r"\[\^([^\]\s\[]{1,200})\]")
_DEFINITION = re.compile(rf"{_LABEL.pattern}:[ \t]*")
_INDENT = 4  # of further paragraphs of a note
_LONGEST_LABEL = 24  # of a mark, as it is told from a link with words
_NOTES = "notes"


def add_notes(markdown: MarkdownIt) -> None:
    """Adds the rules. Notes become `aside` with the role of a footnote, where they are; marks link to them."""
    markdown.block.ruler.before("reference", "note", _note, {"alt": ["paragraph", "reference", "blockquote", "list"]})
    markdown.inline.ruler.before("link", "note_mark", _mark)
    markdown.inline.ruler.before("link", "inline_note", _inline_note)
    markdown.inline.add_terminator_char("^")


def _note(state: StateBlock, start: int, end: int, silent: bool) -> bool:
    """A note: its paragraphs after the first one are indented."""
    at = state.bMarks[start] + state.tShift[start]
    found = None if state.is_code_block(start) else _DEFINITION.match(state.src, at, state.eMarks[start])
    if found is None or silent:
        return found is not None
    notes = state.env.setdefault(_NOTES, {})
    opened = state.push("note_open", "aside", 1)
    opened.attrs = {"role": "doc-footnote", "id": f"note-{notes.setdefault(found[1], len(notes) + 1)}"}
    label = state.push("html_block", "", 0)
    label.content = f'<p hidden="">{escape(found[0])}</p>\n'
    before = (state.bMarks[start], state.tShift[start], state.sCount[start], state.blkIndent, state.parentType)
    state.bMarks[start], state.tShift[start] = found.end(), 0
    state.blkIndent = state.sCount[start] = state.sCount[start] + _INDENT
    state.parentType = "blockquote"
    state.md.block.tokenize(state, start, end)
    state.bMarks[start], state.tShift[start], state.sCount[start], state.blkIndent, state.parentType = before
    opened.map = [start, state.line]
    state.push("note_close", "aside", -1)
    return True


def _mark(state: StateInline, silent: bool) -> bool:
    """The mark of a note that there is."""
    found = _LABEL.match(state.src, state.pos, state.posMax)
    number = state.env.get(_NOTES, {}).get(found[1]) if found else None
    if found is None or number is None:
        return False
    if not silent:
        opened = state.push("link_open", "a", 1)
        opened.attrs = {"role": "doc-noteref", "href": f"#note-{number}"}
        text = state.push("text", "", 0)
        text.content = found[0] if len(found[1]) <= _LONGEST_LABEL else f"[{number}]"
        state.push("link_close", "a", -1)
    state.pos = found.end()
    return True


def _inline_note(state: StateInline, silent: bool) -> bool:
    """A note inside of the text."""
    if not state.src.startswith("^[", state.pos):
        return False
    end = state.md.helpers.parseLinkLabel(state, state.pos + 1)
    if end < 0:
        return False
    if not silent:
        opened = state.push("span_open", "span", 1)
        opened.attrs = {"class": "footnote"}
        last, state.pos, state.posMax = state.posMax, state.pos + 2, end
        state.md.inline.tokenize(state)
        state.posMax = last
        state.push("span_close", "span", -1)
    state.pos = end + 1
    return True
