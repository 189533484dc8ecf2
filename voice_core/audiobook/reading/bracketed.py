"""Notes, pictures and marks that a text has in brackets: "[Footnote 1: …]", "[Illustration: …]", "word[1]"."""

import re
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import replace

from voice_core.audiobook.model import BlockKind, SkippedText
from voice_core.audiobook.reading.pieces import Piece
from voice_core.audiobook.reading.superscripts import CONTEXT, is_note_mark, number_of
from voice_core.settings.audiobook import AudiobookSettings

_PICTURE = re.compile(r"\[\s*(?:Illustration|Image|Decoration)\s*\]", re.I)
_CAPTION = re.compile(r"(\[\s*(?:Illustration|Image|Sidenote)\s*:)\s*(.+?)\s*(\])", re.I | re.S)
_EDITOR = re.compile(r"\[\s*Transcriber['’]?s['’]? Note\s*:.*", re.I | re.S)
_NOTE = re.compile(r"(\[\s*(?:Footnote|Note)\s+(\w{1,4}|\*)\s*:)\s*(.*[^\s\]].*)", re.I | re.S)
_LISTED_NOTE = re.compile(r"(\[\^?(\d{1,3}|[A-Z]|\*)\]:?)\s+(.*)", re.S)
_ARABIC_NOTE = re.compile(r"(\(([٠-٩]{1,3})\))\s+(.*)", re.S)
_RAISED_NOTE = re.compile(r"(([⁰¹²³⁴-⁹]{1,3}))\s*(\S.*)", re.S)
_MARK = re.compile(r"\[\^?(?:\w{1,4}|\*)\]|\([٠-٩]{1,3}\)")
_HEADING_OF_NOTES = re.compile(r"\W*(?:foot-?notes?|end-?notes?|notes?|الهوامش|هوامش)\W*", re.I)
_INLINE_PICTURE = re.compile(
    r"\[(?:Illustration|Image|Decoration)\]|\[(?:Illustration|Image|Sidenote): ([^\[\]]{1,400})\]", re.I
)
_RAISED = re.compile(r"⁻?[⁰¹²³⁴-⁹]+(?:[,–-]\s?[⁰¹²³⁴-⁹]+)*")
_NUMBER = re.compile(r"[⁰¹²³⁴-⁹]+")
_TWO_SPACES = re.compile(r" {2,}")
_LONGEST_NOTE = 8  # blocks of a note in brackets


def read_brackets(pieces: Sequence[Piece], settings: AudiobookSettings) -> None:
    """Marks pictures, captions and notes as such, and takes their labels and the marks of notes out of what is spoken.

    A mark such as "[1]" counts only where a note of that name follows it; of numbers above the line see
    `superscripts.is_note_mark`.
    """
    marks = _Marks(pieces)
    i = 0
    while i < len(pieces):
        piece = pieces[i]
        i += 1
        block = piece.block
        if not block.is_spoken or not block.text or block.kind == "code":
            continue
        _take_pictures(piece, settings)
        block = piece.block
        if not block.is_spoken:
            continue
        if block.kind not in ("heading", "table"):
            if block.text[0] in "[(":
                i = _read_bracket(pieces, i - 1, settings, marks)
                if piece.block is not block:
                    continue
            elif found := _RAISED_NOTE.fullmatch(block.text):
                marked = marks.take_before(i - 1, found)
                if marked is not None:
                    _note(pieces, i - 1, i, found, settings, marked)
                    continue
        _take_superscripts(pieces, i - 1, marks)


def _read_bracket(pieces: Sequence[Piece], start: int, settings: AudiobookSettings, marks: "_Marks") -> int:
    """Reads a piece that begins with a bracket. Returns the index of the next piece to read."""
    piece, after = pieces[start], start + 1
    block = piece.block
    if _PICTURE.fullmatch(block.text):
        piece.skip("picture")
    elif found := _CAPTION.fullmatch(block.text):
        _keep(piece, "caption", found[2], found[1], found[3])
        if settings.captions == "skip":
            piece.skip("caption")
    elif _EDITOR.fullmatch(block.text):
        piece.block = replace(block, kind="note")
        if settings.notes == "skip":
            piece.skip("note")
    elif found := _NOTE.fullmatch(block.text):
        ends = (i for i in range(start, min(len(pieces), after + _LONGEST_NOTE)) if pieces[i].block.text[-1:] == "]")
        after = next(ends, start) + 1
        _note(pieces, start, after, found, settings, marks.take_before(start, found))
    elif found := _LISTED_NOTE.fullmatch(block.text) or _ARABIC_NOTE.fullmatch(block.text):
        marked = marks.take_before(start, found)
        if marked is not None:
            _note(pieces, start, after, found, settings, marked)
    return after


class _Marks:
    """The marks such as "[1]", "(١)" or "¹" in the text of a book: where each is, in order."""

    def __init__(self, pieces: Sequence[Piece]) -> None:
        self.pieces = pieces
        self.places: dict[str, list[int]] = {}
        self.last = 0  # the number of the last one that is above the line
        for i, piece in enumerate(pieces):
            for match in _MARK.finditer(piece.block.text, 1):
                self.add(match[0].replace("^", ""), i)

    def add(self, mark: str, index: int) -> None:
        self.places.setdefault(mark, []).append(index)

    def take_before(self, index: int, note: re.Match[str]) -> int | None:
        """The nearest piece before `index` with the mark of a note in its spoken text; each mark is given once."""
        found = self.places.get(_mark_of(note), [])
        at = bisect_left(found, index)
        while at:
            at -= 1
            marked = found.pop(at)  # a piece that is not spoken will not be later either
            if self.pieces[marked].block.is_spoken:
                return marked
        return None


def _note(
    pieces: Sequence[Piece],
    start: int,
    end: int,
    found: re.Match[str],
    settings: AudiobookSettings,
    marked: int | None,
) -> None:
    """Makes a note of the pieces from `start` to `end`, and takes its mark out of the piece `marked`."""
    place = f"{pieces[start].document}#bracketed-{start}"
    if marked is not None:
        mark = _mark_of(found)
        if not mark[0].isdigit():  # a number above the line is taken already
            _take(pieces[marked], rf"{re.escape(mark[0])}\^?{re.escape(mark[1:])}", "note_mark")
        pieces[marked].marks = (*pieces[marked].marks, place)
    opened = found[1].count("[") > found[1].count("]")
    _keep(pieces[start], "note", found[3], found[1])
    if opened:
        _take(pieces[end - 1], r"\]$", "markup")
    for piece in pieces[start:end]:
        piece.block = replace(piece.block, kind="note")
        piece.note = place
        if settings.notes == "skip":
            piece.skip("note")
    above = pieces[start - 1] if start else None
    if above is not None and not above.heading and _HEADING_OF_NOTES.fullmatch(above.block.text):
        above.block = replace(above.block, kind="note")
        if settings.notes != "speak":
            above.skip("note")


def _mark_of(note: re.Match[str]) -> str:
    """The mark that refers to a note."""
    opening = note[1][0]
    return f"({note[2]})" if opening == "(" else f"[{note[2]}]" if opening == "[" else note[2]


def _keep(piece: Piece, kind: BlockKind, text: str, *labels: str) -> None:
    """The piece with `text` alone; its labels are not spoken."""
    inline = (*piece.block.inline, *(SkippedText(label, "markup") for label in labels))
    piece.block = replace(piece.block, kind=kind, text=" ".join(text.split()), inline=inline)


def _take(piece: Piece, pattern: str, reason: str) -> None:
    """Takes the last match out of a piece."""
    text = piece.block.text
    for match in list(re.finditer(pattern, text))[-1:]:
        before, after = text[: match.start()], text[match.end() :]
        kept = before if after[:1].isalnum() else before.rstrip(" ")
        _set_text(piece, kept + after, [SkippedText(match[0], reason)])


def _take_pictures(piece: Piece, settings: AudiobookSettings) -> None:
    """Takes pictures out of the text around them, or the signs around their captions."""
    text = piece.block.text
    if "[" not in text or _INLINE_PICTURE.fullmatch(text):
        return
    taken: list[SkippedText] = []
    for match in reversed([*_INLINE_PICTURE.finditer(text)]):
        caption = match[1] or ""
        before, after = text[: match.start()], text[match.end() :]
        if caption and settings.captions == "speak":
            text = before + caption + after
            taken += [SkippedText(match[0][: -len(caption) - 1], "markup"), SkippedText("]", "markup")]
        else:
            text = (before if after[:1].isalnum() else before.rstrip(" ")) + after
            taken.append(SkippedText(match[0], "caption" if caption else "picture"))
    _set_text(piece, text, taken)


def _set_text(piece: Piece, text: str, taken: Sequence[SkippedText]) -> None:
    """The piece with `text`, without what is taken; where nothing else is left, all of it is skipped."""
    if taken and text.strip():
        piece.block = replace(piece.block, text=text.strip(), inline=(*piece.block.inline, *taken))
    elif taken:
        piece.skip(taken[0].reason)


def _take_superscripts(pieces: Sequence[Piece], index: int, marks: _Marks) -> None:
    """Takes the numbers above the line that are marks of notes out of what is spoken; powers stay."""
    piece = pieces[index]
    text = piece.block.text
    if text.isascii():
        return
    parts: list[str] = []
    taken: list[SkippedText] = []
    at = 0
    for match in _RAISED.finditer(text):
        before, after = text[max(0, match.start() - CONTEXT) : match.start()], text[match.end() : match.end() + CONTEXT]
        if not is_note_mark(before, match[0], after, marks.last + 1 if marks.last else 0):
            continue
        parts.append(text[at : match.start()])
        taken.append(SkippedText(match[0], "note_mark"))
        at = match.end()
        if before.strip() == before != "":  # else it numbers what follows it, such as a verse
            marks.last = number_of(match[0])
            for label in _NUMBER.findall(match[0]):
                marks.add(label, index)
    _set_text(piece, _TWO_SPACES.sub(" ", "".join([*parts, text[at:]])), taken)
