"""Markdown to HTML."""

import re
from collections.abc import Iterator, Sequence
from html import escape

from lxml.html import defs
from markdown_it import MarkdownIt
from markdown_it.rules_core import StateCore
from markdown_it.token import Token

from voice_core.audiobook.reading.markdown_notes import add_notes
from voice_core.audiobook.reading.pieces import SPEAKER

_FENCE = re.compile(r" {0,3}(?:```|~~~)")
_ADDRESS = re.compile(
    r"\s*(?:<|#|\.{0,2}/|www\.|(?:https?|ftp|mailto|tel|file|data):|\S+@\S+\.|\S*[\w-]\.\w{2,5}(?:[#?]\S*)?(?:\s|$))",
    re.I,
)
_UNSEEN = re.compile(r"<!--.*?(?:-->|\Z)|<\?.*?(?:\?>|\Z)|<!\[CDATA\[.*?(?:\]\]>|\Z)|<![A-Za-z].*?(?:>|\Z)", re.S)
_TAG = re.compile(r"</?([A-Za-z][\w:-]*)[^<>]*>?")
_TAGS = frozenset(defs.tags) | {"bdi", "data", "dialog", "main", "picture", "rb", "rtc", "slot", "template", "tt"}
_SENTENCE = re.compile(r"[\"'“‘«(]*[^\W\d_][^{}=<>|]*[.!?…؟][\"”’»)]*")
_WORDS_OF_SENTENCE = 8  # at least; of a line of prose that is indented as code is
_COMMAND = re.compile(r" {0,3}(?::{3,}.*|\\(?:newpage|pagebreak|clearpage|cleardoublepage|bigskip|medskip)\s*)")
_ATTRIBUTES = re.compile(r"\s*(\{\s*[#.:][^{}]*\})\s*$")


def markdown_to_html(text: str, first_line: int = 1) -> str:
    """HTML whose blocks have the number of their line in the attribute `data-line`.

    What Markdown would leave out without a word is hidden text: definitions of links, comments, attributes of headings.
    A line such as "[Anna]: Hello." is a paragraph; by the rules of Markdown it would define a link.

    >>> markdown_to_html("A\\n[Anna]: Hello.").split("\\n")[1]
    '<p data-line="2">[Anna]: Hello.</p>'
    >>> markdown_to_html("[a]: http://example.org")
    '<p hidden="" data-line="1">[a]: http://example.org</p>\\n'
    """
    lines: list[str] = []
    numbers: list[int] = []
    for number, line in _separate_speakers(text):
        lines.append(line)
        numbers.append(number + first_line)
    markdown = MarkdownIt("commonmark", {"inline_definitions": True}).enable(["table", "strikethrough"])
    add_notes(markdown)
    markdown.core.ruler.after("block", "heading_attributes", _hide_attributes)
    tokens = _seen(markdown, markdown.parse("\n".join(lines)), lines)
    for token in tokens:
        if token.map and token.nesting >= 0 and token.type != "inline":
            token.attrSet("data-line", str(numbers[min(token.map[0], len(numbers) - 1)]))
    return str(markdown.renderer.render(tokens, markdown.options, {}))


def _separate_speakers(text: str) -> Iterator[tuple[int, str]]:
    """The lines of a text with their numbers; lines of other voices are paragraphs, and escaped."""
    in_code, before = False, ""
    for number, line in enumerate(text.split("\n")):
        in_code ^= bool(_FENCE.match(line))
        found = None if in_code or line.lstrip().startswith("[^") else SPEAKER.match(line)
        if found and not _ADDRESS.match(line, found.end()):
            if before.strip():
                yield number, ""
            yield number, f"\\{line.lstrip()}"
        elif not in_code and _COMMAND.fullmatch(line):
            yield number, ""
            yield number, f'<p hidden="">{escape(line)}</p>'
            yield number, ""
        else:
            if found and before.lstrip().startswith("[^"):  # a link is defined below a note
                yield number, ""
            yield number, line
        before = line


def _hide_attributes(state: StateCore) -> None:
    """Moves attributes such as "{#chapter-1 .unnumbered}" out of headings."""
    tokens: list[Token] = []
    for token in state.tokens:
        if tokens and tokens[-1].type == "heading_open" and (found := _ATTRIBUTES.search(token.content)):
            token.content = token.content[: found.start()]
            hidden = Token("html_block", "", 0, content=f'<p hidden="">{escape(found[1])}</p>\n', block=True)
            tokens.insert(-1, hidden)
        tokens.append(token)
    state.tokens = tokens


def _seen(markdown: MarkdownIt, tokens: Sequence[Token], lines: Sequence[str]) -> list[Token]:
    """The tokens; text stands in for those that are not shown, for tags that HTML does not have, and for paragraphs
    that are indented as code is."""
    out: list[Token] = []
    for token in tokens:
        if token.type == "definition" and token.map:
            source = "\n".join(lines[slice(*token.map)]).strip()
            text = Token("inline", "", 0, content=source, children=[Token("text", "", 0, content=source)])
            out += _paragraph(text, token.map[0], hidden="")
            continue
        if token.type == "code_block" and token.map and _is_prose(token.content):
            for number, line in enumerate(token.content.split("\n"), token.map[0]):
                if line.strip():
                    out += _paragraph(markdown.parseInline(line.strip())[0], number)
            continue
        if token.type == "html_block":
            token.content = _UNSEEN.sub(lambda found: f'<p hidden="">{escape(found[0])}</p>', token.content)
            token.content = _TAG.sub(_known_tag, token.content)
        for child in token.children or ():
            if child.type == "html_inline":
                child.content = _inline_html(child.content)
        out.append(token)
    return out


def _is_prose(indented: str) -> bool:
    """Whether every line is a paragraph with a sentence: some authors indent their paragraphs."""
    paragraphs = [line.strip() for line in indented.split("\n") if line.strip()]
    return all(len(line.split()) >= _WORDS_OF_SENTENCE and _SENTENCE.fullmatch(line) for line in paragraphs)


def _paragraph(inline: Token, line: int, **attributes: str) -> list[Token]:
    opened = Token("paragraph_open", "p", 1, attrs={**attributes}, map=[line, line + 1], block=True)
    return [opened, inline, Token("paragraph_close", "p", -1, block=True)]


def _inline_html(content: str) -> str:
    return _TAG.sub(_known_tag, content) if _TAG.match(content) else f'<span hidden="">{escape(content)}</span>'


def _known_tag(found: re.Match[str]) -> str:
    name = found[1].lower()
    return found[0] if name in _TAGS or ":" in name or "-" in name else escape(found[0])
