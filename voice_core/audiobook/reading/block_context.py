"""What holds inside an element: the kind of its blocks, and whether and why they are left out."""

import re
from typing import NamedTuple

from voice_core.audiobook.model import BlockKind
from voice_core.audiobook.reading.elements import (
    BLOCKS,
    CAPTION_CLASSES,
    CODE_CLASSES,
    LINE_CLASSES,
    MARK_TYPES,
    NOTE_CLASSES,
    NOTE_TYPES,
    PAGE_CLASSES,
    PAGE_TYPES,
    UNSEEN,
    Element,
    id_of,
    is_hidden,
    is_layout,
    is_raised,
    is_verse,
    language_of,
    local_name,
    text_within,
)
from voice_core.audiobook.reading.front_back_matter import SPOKEN, is_skipped, matter_of_types
from voice_core.audiobook.reading.note_links import LONGEST_MARK, NoteLinks, is_mark_text
from voice_core.audiobook.reading.superscripts import RAISED
from voice_core.settings.audiobook import AudiobookSettings

_LONGEST_PAGE_NUMBER = 20
_PAGE_NUMBER = re.compile(r"\W*(?:page|pages|pg|pp?|s|seite|صفحة|ص)?\W*(?:[\d–-]{1,9}[a-z]?|[ivxlcdm]{0,9})\W*", re.I)
_GUTENBERG = {"pg-header": "front_matter", "pg-footer": "back_matter"}  # the licence, by the id of its element
_HEADINGS = {f"h{level}": level for level in range(1, 7)}


class Context(NamedTuple):
    """What holds inside an element."""

    kind: BlockKind = "paragraph"
    reason: str = ""
    language: str = ""
    place: str = ""  # the nearest id
    note: str = ""
    mark: str = ""  # the note that a mark refers to
    in_note: bool = False
    lines: bool = False  # line ends are kept
    row: bool = False  # in a row of a table
    line: bool = False  # the element is a line of verse
    heading: int = 0
    spoken_kind: bool = False
    superscript: bool = False  # a number or sign above the line


class ContextRules:
    """The rules by which the context changes from element to element, for one document."""

    def __init__(self, document: str, settings: AudiobookSettings, links: NoteLinks) -> None:
        self.document, self.settings, self.links = document, settings, links

    def enter(
        self,
        context: Context,
        element: Element,
        name: str,
        number: int,
        types: frozenset[str],
        classes: frozenset[str],
    ) -> Context:
        """The context inside of an element, the `number`-th of its document; `context` is that around it."""
        changed = context._replace(line=False) if context.line else context
        if name in BLOCKS:
            changed = self._block_context(element, name, changed, types, classes)
            if own := id_of(element):
                changed = changed._replace(place=own)
                matter = _GUTENBERG.get(own, "")
                if matter and is_skipped(matter, self.settings):
                    changed = _skip(changed, matter)
        if (tag := language_of(element)) and not (self.settings.language and name in ("html", "body")):
            changed = changed._replace(language=tag)
        note = self.links.elements.get((self.document, number))
        if note is not None and not context.in_note:
            changed = self._note_context(changed, note)
        elif is_hidden(element, classes):
            changed = _skip(changed, "hidden")
        if types:
            matter = matter_of_types(types)
            if matter == SPOKEN:
                cleared = "" if changed.reason in ("front_matter", "back_matter") else changed.reason
                changed = changed._replace(reason=cleared, spoken_kind=True)
            elif matter and is_skipped(matter, self.settings):
                changed = _skip(changed, matter)
        return self._inline_context(element, name, changed, types, classes)

    def _block_context(
        self, element: Element, name: str, context: Context, types: frozenset[str], classes: frozenset[str]
    ) -> Context:
        if level := _HEADINGS.get(name, 0):
            return context._replace(kind="heading", heading=level)
        if "heading" in types:
            return context._replace(kind="heading", heading=6)
        changed = context
        if name == "pre":
            is_code = bool(classes & CODE_CLASSES) or any(
                local_name(child) in ("code", "samp", "kbd") for child in element
            )
            changed = changed._replace(kind="code" if is_code else "verse", lines=True)
        elif name == "div" and classes & CODE_CLASSES:
            changed = changed._replace(kind="code", lines=True) if element.find(".//{*}pre") is not None else changed
        elif is_verse(types, classes):
            changed = changed._replace(kind="verse", lines=False)
        elif name in ("figcaption", "caption", "legend") or classes & CAPTION_CLASSES:
            changed = changed._replace(kind="caption")
        elif name == "blockquote" and context.kind == "paragraph":
            changed = changed._replace(kind="quote")
        elif name in ("li", "dd", "dt") and context.kind in ("paragraph", "quote"):
            changed = changed._replace(kind="list_item")
        elif name == "table" and not is_layout(element, types):
            changed = changed._replace(kind="table")
        elif name == "tr" and context.kind == "table":
            changed = changed._replace(row=True)
        elif name == "nav":
            changed = _skip(changed, "contents")
        if changed.kind != context.kind and changed.kind in ("code", "table", "caption") and context.kind != "table":
            treatment = {"code": self.settings.code, "table": self.settings.tables, "caption": self.settings.captions}
            if treatment[changed.kind] == "skip":
                changed = _skip(changed, changed.kind)
        if context.kind == "verse" and classes & LINE_CLASSES:
            changed = changed._replace(line=True)
        return changed

    def _note_context(self, context: Context, note: str) -> Context:
        """The context of a note; `note` is "" for notes without a place, and for lists of notes."""
        treatment = self.settings.notes
        is_list = not note
        if treatment == "skip" or (treatment == "move" and is_list):
            return _skip(context._replace(kind="note"), "note")
        cleared = ("note", "front_matter", "back_matter", *(("not_linear",) if treatment == "move" else ()))
        reason = "" if context.reason in cleared else context.reason
        return context._replace(kind="note", reason=reason, note=note, in_note=not is_list)

    def _inline_context(
        self, element: Element, name: str, context: Context, types: frozenset[str], classes: frozenset[str]
    ) -> Context:
        if name in ("rt", "rp", "rtc"):
            return _skip(context, "ruby")
        if name in UNSEEN:
            return _skip(context, "hidden")
        if name == "svg":
            return _skip(context, "picture")
        if (types & PAGE_TYPES or (classes & PAGE_CLASSES and name not in ("div", "section", "article"))) and (
            _PAGE_NUMBER.fullmatch(text_within(element, _LONGEST_PAGE_NUMBER))
        ):
            return _skip(context, "page_number")
        if name == "a" or types & MARK_TYPES:
            is_mark, note = self.links.mark(self.document, element, context.in_note)
            if is_mark:
                return _skip(context._replace(mark=note), "note_mark")
        if name not in BLOCKS and name != "a" and not context.in_note and _is_note(types, classes):
            if is_mark_text(text_within(element, LONGEST_MARK)):
                return _skip(context, "note_mark")
            return _skip(context, "note") if self.settings.notes == "skip" else context
        if name not in BLOCKS and is_raised(element, name, classes):
            return context._replace(superscript=bool(RAISED.fullmatch(text_within(element, LONGEST_MARK))))
        return context


def _skip(context: Context, reason: str) -> Context:
    """The context with a reason, unless all of it is left out for another one already."""
    return context if context.reason else context._replace(reason=reason)


def _is_note(types: frozenset[str], classes: frozenset[str]) -> bool:
    return bool(types & NOTE_TYPES or classes & NOTE_CLASSES)
