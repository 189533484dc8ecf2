"""The blocks of a document of XHTML or HTML, in the order of their text."""

from collections.abc import Collection
from dataclasses import replace
from typing import NamedTuple

from lxml import etree

from voice_core.audiobook.model import Block, BlockKind
from voice_core.audiobook.reading.documents import Document
from voice_core.audiobook.reading.elements import (
    BLOCKS,
    CAPTION_CLASSES,
    CODE_CLASSES,
    DROPPED,
    LINE_CLASSES,
    MARK_TYPES,
    MEDIA,
    PAGE_CLASSES,
    PAGE_TYPES,
    UNSEEN,
    Element,
    classes_of,
    id_of,
    is_hidden,
    is_verse,
    language_of,
    local_name,
    text_within,
    types_of,
)
from voice_core.audiobook.reading.front_back_matter import SPOKEN, is_skipped, matter_of_types
from voice_core.audiobook.reading.note_links import NoteLinks
from voice_core.audiobook.reading.pieces import BREAK, SPEAKER, Piece, Run, blocks_of, clean, has_text
from voice_core.settings.audiobook import AudiobookSettings

_LONGEST_PAGE_NUMBER = 20
_HEADINGS = {f"h{level}": level for level in range(1, 7)}
_BREAKS_SCENES_BELOW = 0.25  # of paragraphs that are empty: with more of them, they are mere spacing


class _Context(NamedTuple):
    """What holds inside an element."""

    kind: BlockKind = "paragraph"
    reason: str = ""
    language: str = ""
    place: str = ""  # the nearest id
    note: str = ""
    in_note: bool = False
    lines: bool = False  # line ends are kept
    row: bool = False  # in a row of a table
    line: bool = False  # the element is a line of verse
    heading: int = 0
    spoken_kind: bool = False


def read_blocks(
    document: Document,
    settings: AudiobookSettings,
    links: NoteLinks,
    language: str = "",
    anchors: Collection[str] = (),
    reason: str = "",
) -> list[Piece]:
    """The pieces of a document.

    `language` is the book's. `anchors` are the places "document#id" at which chapters begin. With a `reason`, nothing
    but moved notes is spoken. The last piece is empty where chapters begin at the end of the document.
    """
    walker = _Walker(document, settings, links, language, anchors, reason)
    return walker.run()


class _Walker:
    def __init__(
        self,
        document: Document,
        settings: AudiobookSettings,
        links: NoteLinks,
        language: str,
        anchors: Collection[str],
        reason: str,
    ) -> None:
        self.document, self.settings, self.links = document, settings, links
        self.language, self.anchors = language, anchors
        self.stack = [_Context(reason=reason, language=settings.language or language)]
        self.runs: list[Run] = []
        self.marks: list[str] = []
        self.pending = [document.name]  # anchors that wait for a block
        self.pieces: list[Piece] = []
        self.scene = False
        self.line = 0
        self.has_media = False
        self.after_break = False
        self.paragraphs = 0
        self.empty: list[int] = []  # the number of pieces before each empty paragraph

    def run(self) -> list[Piece]:
        root = self.document.root
        walk = etree.iterwalk(root, events=("start", "end"))
        number = -1
        dropped = False
        for event, element in walk:
            name = local_name(element)
            if event == "start":
                number += 1
                dropped = name in DROPPED or (name == "head" and element.getparent() is root)
                if dropped:
                    number += sum(1 for _ in element.iterdescendants())
                    walk.skip_subtree()
                    continue
                self.start(element, name, number)
                if element.text:
                    self.add(element.text)
            else:
                if not dropped:
                    self.end(name)
                dropped = False
                if element.tail and element is not root:
                    self.add(element.tail)
        self.flush()
        if self.pending:
            self.pieces.append(Piece(Block(""), self.document.name, tuple(self.pending)))
        self._break_scenes()
        return self.pieces

    def start(self, element: Element, name: str, number: int) -> None:
        context = self.stack[-1]
        types, classes = types_of(element), classes_of(element)
        is_block = name in BLOCKS
        inside_row = context.row and is_block and name != "tr"
        is_line = is_block and context.kind == "verse" and bool(classes & LINE_CLASSES)
        if is_block and not inside_row and not is_line:
            self.flush()
            first = element[0] if name == "pre" and len(element) else element
            line = element.get("data-line") or first.get("data-line") or ""  # of Markdown
            self.line = int(line) if line.isascii() and line.isdigit() else element.sourceline or 0
        elif is_line or name in ("td", "th"):
            self.add(BREAK)
        elif inside_row:
            self.add(" ")
        elif name == "br":
            self.add(BREAK if context.kind in ("verse", "code") else " ")
            self.after_break = True
        if own := id_of(element):
            self._anchor(f"{self.document.name}#{own}")
        if name == "hr" and not context.reason:
            self.scene = True
        if name in MEDIA:
            self.has_media = True
        self.stack.append(self._context(element, name, number, context, types, classes, own))

    def end(self, name: str) -> None:
        context = self.stack[-1]
        if name in BLOCKS:
            if name == "tr" or not context.row:
                if name == "p" and not context.reason:
                    self.paragraphs += 1
                    if not self.has_media and not any(clean(run.text) for run in self.runs):
                        self.empty.append(len(self.pieces))
                if context.line:
                    self.add(BREAK)
                else:
                    self.flush()
            else:
                self.add(" ")
        self.stack.pop()

    def add(self, text: str) -> None:
        context = self.stack[-1]
        if self.after_break and not text.isspace():
            if context.kind == "paragraph" and SPEAKER.match(text):
                self.flush()
            self.after_break = False
        if context.lines and "\n" in text:
            text = text.replace("\n", BREAK)
        self.runs.append(Run(text, context.reason, context.language))

    def flush(self) -> None:
        """Ends the current block."""
        runs, self.runs = self.runs, []
        marks, self.marks = tuple(self.marks), []
        self.has_media = False
        if not any(run.text and not run.text.isspace() for run in runs):
            return
        context = self.stack[-1]
        place = f"{self.document.name}#{context.place}" if context.place else f"{self.document.name} line {self.line}"
        for block in blocks_of(runs, context.kind, place, self.settings.language or self.language, self.scene):
            anchors, self.pending = tuple(self.pending), []
            piece = Piece(block, self.document.name, anchors, context.heading, context.note, marks, context.spoken_kind)
            self.pieces.append(piece)
            marks = ()
            if block.skipped == "ornament":
                self.scene = True
            elif block.is_spoken:
                self.scene = False

    def _anchor(self, place: str) -> None:
        """Lets a chapter begin here: with the current block, or in it after a space."""
        if place not in self.anchors or place in self.pending:
            return
        if has_text(self.runs) and self.runs[-1].text[-1:].isspace():
            self.flush()
        self.pending.append(place)

    def _context(
        self,
        element: Element,
        name: str,
        number: int,
        context: _Context,
        types: frozenset[str],
        classes: frozenset[str],
        own: str,
    ) -> _Context:
        changed = context._replace(line=False) if context.line else context
        if name in BLOCKS:
            changed = self._block_context(element, name, changed, types, classes)
            if own:
                changed = changed._replace(place=own)
        if (tag := language_of(element)) and not (self.settings.language and name in ("html", "body")):
            changed = changed._replace(language=tag)
        note = self.links.elements.get((self.document.name, number))
        if note is not None and not context.in_note:
            changed = self._note_context(changed, note)
        elif is_hidden(element):
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
        self, element: Element, name: str, context: _Context, types: frozenset[str], classes: frozenset[str]
    ) -> _Context:
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
        elif name == "table" and "presentation" not in types and "none" not in types:
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

    def _note_context(self, context: _Context, note: str) -> _Context:
        """The context of a note; `note` is "" for notes without a place, and for lists of notes."""
        treatment = self.settings.notes
        is_list = not note
        if treatment == "skip" or (treatment == "move" and is_list):
            return _skip(context._replace(kind="note"), "note")
        cleared = ("note", "front_matter", "back_matter", *(("not_linear",) if treatment == "move" else ()))
        reason = "" if context.reason in cleared else context.reason
        return context._replace(kind="note", reason=reason, note=note, in_note=not is_list)

    def _inline_context(
        self, element: Element, name: str, context: _Context, types: frozenset[str], classes: frozenset[str]
    ) -> _Context:
        if name in ("rt", "rp", "rtc"):
            return _skip(context, "ruby")
        if name in UNSEEN:
            return _skip(context, "hidden")
        if name == "svg":
            return _skip(context, "picture")
        if (types & PAGE_TYPES or classes & PAGE_CLASSES) and (
            len(text_within(element, _LONGEST_PAGE_NUMBER).strip()) <= _LONGEST_PAGE_NUMBER
        ):
            return _skip(context, "page_number")
        if name == "a" or types & MARK_TYPES:
            is_mark, note = self.links.mark(self.document.name, element, context.in_note)
            if is_mark:
                if note:
                    self.marks.append(note)
                return _skip(context, "note_mark")
        return context

    def _break_scenes(self) -> None:
        """Blank lines made of empty paragraphs separate scenes, unless they are everywhere."""
        if len(self.empty) > _BREAKS_SCENES_BELOW * self.paragraphs:
            return
        for index in self.empty:
            if not 0 < index < len(self.pieces):
                continue
            before, piece = self.pieces[index - 1].block, self.pieces[index]
            if "heading" not in (before.kind, piece.block.kind) and piece.block.is_spoken and piece.block.text:
                piece.block = replace(piece.block, scene_break_before=True)


def _skip(context: _Context, reason: str) -> _Context:
    """The context with a reason, unless all of it is left out for another one already."""
    return context if context.reason else context._replace(reason=reason)
