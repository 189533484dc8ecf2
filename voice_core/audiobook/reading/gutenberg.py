"""Texts of Project Gutenberg: their licence is front and back matter, and their header names title and author."""

import re
from collections.abc import Sequence

from voice_core.audiobook.reading.front_back_matter import is_skipped
from voice_core.audiobook.reading.pieces import Piece
from voice_core.settings.audiobook import AudiobookSettings

_START = re.compile(r"\*{3}\s*START OF TH(?:E|IS) PROJECT GUTENBERG.*", re.I | re.S)
_END = re.compile(r"\*{3}\s*END OF TH(?:E|IS) PROJECT GUTENBERG.*", re.I | re.S)
_CREDITS = re.compile(r"(?:(?:E-?text )?prepared|Produced|Transcribed|Scanned) by .*|Credits: .*", re.I | re.S)
_FIELD = re.compile(r"^(Title|Author): *(\S.*)$", re.M)


def read_gutenberg(pieces: Sequence[Piece], settings: AudiobookSettings) -> dict[str, str]:
    """Marks the licence around a text as front and back matter. Returns what the header says: title, author."""
    start = next((i for i, piece in enumerate(pieces) if _START.fullmatch(piece.block.text)), None)
    end = next((i for i, piece in enumerate(pieces) if _END.fullmatch(piece.block.text)), None)
    if start is not None and is_skipped("front_matter", settings):
        for piece in pieces[: start + 1]:
            piece.skip("front_matter")
        for piece in pieces[start + 1 : start + 2]:
            if _CREDITS.fullmatch(piece.block.text):
                piece.skip("front_matter")
    if end is not None and is_skipped("back_matter", settings):
        for piece in pieces[end:]:
            piece.skip("back_matter")
    header = pieces[:start] if start is not None else ()
    found = (_FIELD.findall(piece.block.text) for piece in header)
    return {key.lower(): value.strip() for fields in found for key, value in fields}
