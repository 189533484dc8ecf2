"""The blocks of a document of XHTML or HTML, in the order of their text."""

import re
from collections.abc import Collection
from dataclasses import replace

from lxml import etree

from voice_core.audiobook.model import Block
from voice_core.audiobook.reading.block_context import Context, ContextRules
from voice_core.audiobook.reading.documents import Document
from voice_core.audiobook.reading.elements import (
    BLOCKS,
    DROPPED,
    LINE_CLASSES,
    MEDIA,
    Element,
    classes_of,
    id_of,
    local_name,
    types_of,
)
from voice_core.audiobook.reading.heading_lines import numbers_chapter
from voice_core.audiobook.reading.hyphenation import DIVIDED_LINES, Words
from voice_core.audiobook.reading.note_links import NoteLinks
from voice_core.audiobook.reading.pieces import (
    BREAK,
    SPEAKER,
    Piece,
    Run,
    blocks_of,
    clean,
    has_text,
    is_ornament,
)
from voice_core.audiobook.reading.xhtml_runs import LINE, resolve_runs, space_words
from voice_core.settings.audiobook import AudiobookSettings

_SCENE = re.compile(r"\b(?:ornament|scene break|section break|asterism|fleuron|divider)\b", re.I)  # of pictures
_NAVIGATION = re.compile(r"\W*(?:(?:go |jump )?back|return) to (?:the )?(?:table of )?(?:contents|toc|top)\W*", re.I)
_BREAKS_SCENES_BELOW = 0.25  # of paragraphs that are empty: with more of them, they are mere spacing

_LONGEST_NUMBER, _MOST_RUNS_OF_A_NUMBER = 120, 16
"""Of a line that numbers a chapter, characters and runs of text."""


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
        self.document, self.anchors = document, anchors
        self.language = settings.language or language
        self.rules = ContextRules(document.name, settings, links)
        self.stack = [Context(reason=reason, language=self.language)]
        self.runs: list[Run] = []
        self.has_text = False  # whether any of them is spoken
        self.words = Words(lambda: " ".join(document.root.itertext()))
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
            if self.ends_paragraph(context):
                self.flush()
            self.add(BREAK if context.kind in ("verse", "code") else LINE)
            self.after_break = True
        if own := id_of(element):
            self._anchor(f"{self.document.name}#{own}")
        if name == "hr" and not context.reason:
            self.scene = True
        if name in MEDIA:
            self.has_media = True
            alternative = element.get("alt") or ""
            if not self.has_text and not context.reason and (is_ornament(alternative) or _SCENE.search(alternative)):
                self.scene = self.scene or bool(alternative.strip())
        inside = self.rules.enter(context, element, name, number, types, classes)
        if inside.mark and not context.mark:
            self.marks.append(inside.mark)
        self.stack.append(inside)

    def ends_paragraph(self, context: Context) -> bool:
        """Whether a line break ends a paragraph: after another one, or after a line such as "Chapter 3"."""
        if context.kind not in ("paragraph", "quote") or context.row or not self.has_text:
            return False
        if self.after_break:
            return True
        # A chapter's number is short. Joining a long paragraph at each of its lines would take quadratic time.
        if sum(len(run.text) for run in self.runs[-_MOST_RUNS_OF_A_NUMBER:]) > _LONGEST_NUMBER:
            return False
        few = len(self.runs) <= _MOST_RUNS_OF_A_NUMBER
        return few and numbers_chapter(clean("".join(run.text for run in self.runs if not run.reason)))

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
        elif "\n" in text and (parts := DIVIDED_LINES.split(text))[1:]:  # lines of the file, hyphenated by a program
            for i, part in enumerate(parts):
                self.runs += [*([Run(LINE, context.reason)] if i else []), Run(part, context.reason, context.language)]
            self.has_text = self.has_text or has_text(self.runs[-2 * len(parts) :])
            return
        self.runs.append(Run(text, context.reason, context.language, context.superscript))
        self.has_text = self.has_text or has_text(self.runs[-1:])

    def flush(self) -> None:
        """Ends the current block."""
        runs, self.runs, self.has_text = self.runs, [], False
        marks, self.marks = tuple(self.marks), []
        self.has_media = False
        if not any(run.text and not run.text.isspace() for run in runs):
            return
        context = self.stack[-1]
        place = f"{self.document.name}#{context.place}" if context.place else f"{self.document.name} line {self.line}"
        if context.kind == "heading":
            runs = space_words(runs)
        runs = resolve_runs(runs, self.words)
        if len(runs) <= _MOST_RUNS_OF_A_NUMBER and _NAVIGATION.fullmatch("".join(run.text for run in runs)):
            runs = [run._replace(reason=run.reason or "contents") for run in runs]
        for block in blocks_of(runs, context.kind, place, self.language, self.scene):
            anchors, self.pending = tuple(self.pending), []
            piece = Piece(block, self.document.name, anchors, context.heading, context.note, marks, context.spoken_kind)
            self.pieces.append(piece)
            marks = ()
            if block.skipped == "ornament":
                self.scene = True
            elif block.is_spoken:
                self.scene = False

    def _anchor(self, place: str) -> None:
        """Lets a chapter begin here: with the current block, or in it after a space or a sentence."""
        if place not in self.anchors or place in self.pending:
            return
        if self.has_text and (self.runs[-1].text[-1:].isspace() or self.runs[-1].text[-1:] in ".!?…”’»\"'"):
            self.flush()
        self.pending.append(place)

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
