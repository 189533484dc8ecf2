"""Notes, pictures and marks that a text has in brackets: "[Footnote 1: …]", "[Illustration: …]", "word[1]"."""

import re
from collections.abc import Sequence
from dataclasses import replace

from voice_core.audiobook.model import BlockKind, SkippedText
from voice_core.audiobook.reading.pieces import Piece
from voice_core.settings.audiobook import AudiobookSettings

_PICTURE = re.compile(r"\[\s*(?:Illustration|Image|Decoration)\s*\]", re.I)
_CAPTION = re.compile(r"(\[\s*(?:Illustration|Image|Sidenote)\s*:)\s*(.+?)\s*(\])", re.I | re.S)
_EDITOR = re.compile(r"\[\s*Transcriber['’]?s['’]? Note\s*:.*", re.I | re.S)
_NOTE = re.compile(r"(\[\s*(?:Footnote|Note)\s+(\w{1,4}|\*)\s*:)\s*(.*)", re.I | re.S)
_LISTED_NOTE = re.compile(r"(\[(\d{1,3}|[A-Z]|\*)\])\s+(.*)", re.S)
_SUPERSCRIPT = re.compile(r"(?:(?<=[^\W\d_]{2})|(?<=[.,;:!?…”’\"»)]))[⁰¹²³⁴-⁹]+")
_UNIT = re.compile(r"(?:\d\s?|\b)(?:km|cm|mm|ft|in|yd|mi|كم|سم)$")
_LONGEST_NOTE = 8  # blocks of a note in brackets


def read_brackets(pieces: Sequence[Piece], settings: AudiobookSettings) -> None:
    """Marks pictures, captions and notes as such, and takes their labels and the marks of notes out of what is spoken.

    A mark such as "[1]" counts only where a note of that name follows it.
    """
    i = 0
    while i < len(pieces):
        piece = pieces[i]
        i += 1
        block = piece.block
        if not block.is_spoken or not block.text or block.kind in ("heading", "code", "table"):
            continue
        if "[" not in block.text[:1]:
            _take_superscripts(piece)
            continue
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
            last = i - 1
            while last < min(len(pieces), i + _LONGEST_NOTE) and not pieces[last].block.text.endswith("]"):
                last += 1
            end = last + 1 if last < len(pieces) and pieces[last].block.text.endswith("]") else i
            _note(pieces, i - 1, end, found, settings)
            i = end
        elif (found := _LISTED_NOTE.fullmatch(block.text)) and _mark_before(pieces, i - 1, found[2]) is not None:
            _note(pieces, i - 1, i, found, settings)


def _note(pieces: Sequence[Piece], start: int, end: int, found: re.Match[str], settings: AudiobookSettings) -> None:
    """Makes a note of the pieces from `start` to `end`, and takes its mark out of the text before it."""
    place = f"{pieces[start].document}#bracketed-{start}"
    marked = _mark_before(pieces, start, found[2])
    if marked is not None:
        _take(pieces[marked], rf"\[{re.escape(found[2])}\]", "note_mark", last=True)
        pieces[marked].marks = (*pieces[marked].marks, place)
    opened = found[1].count("[") > found[1].count("]")
    _keep(pieces[start], "note", found[3], found[1])
    if opened:
        _take(pieces[end - 1], r"\]$", "markup", last=True)
    for piece in pieces[start:end]:
        piece.block = replace(piece.block, kind="note")
        piece.note = place
        if settings.notes == "skip":
            piece.skip("note")


def _mark_before(pieces: Sequence[Piece], index: int, label: str) -> int | None:
    """The nearest piece before `index` with a mark in its text."""
    for i in range(index - 1, -1, -1):
        block = pieces[i].block
        if block.is_spoken and block.text.find(f"[{label}]") > 0:
            return i
    return None


def _keep(piece: Piece, kind: BlockKind, text: str, *labels: str) -> None:
    """The piece with `text` alone; its labels are not spoken."""
    inline = (*piece.block.inline, *(SkippedText(label, "markup") for label in labels))
    piece.block = replace(piece.block, kind=kind, text=" ".join(text.split()), inline=inline)


def _take(piece: Piece, pattern: str, reason: str, *, last: bool = False) -> None:
    found = list(re.finditer(pattern, piece.block.text))
    for match in reversed(found[-1:] if last else found):
        text = piece.block.text[: match.start()] + piece.block.text[match.end() :]
        inline = (*piece.block.inline, SkippedText(match[0], reason))
        piece.block = replace(piece.block, text=text.strip(), inline=inline)


def _take_superscripts(piece: Piece) -> None:
    """A number above the line after a word is a note's mark; after a figure, a letter or a unit it is a power."""
    text = piece.block.text
    if text.isascii():
        return
    for match in reversed([*_SUPERSCRIPT.finditer(text)]):
        if not _UNIT.search(text, max(0, match.start() - 5), match.start()):
            text = text[: match.start()] + text[match.end() :]
            piece.block = replace(
                piece.block, text=text.strip(), inline=(*piece.block.inline, SkippedText(match[0], "note_mark"))
            )
