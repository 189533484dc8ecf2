"""Headings of books without markup of headings: paragraphs such as "CHAPTER IV"."""

from collections.abc import Sequence
from dataclasses import replace

from voice_core.audiobook.reading.heading_lines import heading_level, numbers_chapter
from voice_core.audiobook.reading.pieces import Piece

_LISTED = 3  # headings without text between them are a list of chapters


def mark_heading_lines(pieces: Sequence[Piece]) -> None:
    """Makes headings of paragraphs that read like such, where at least two number a chapter.

    Of several without text between them, which are a list of chapters, only the last one may be one.
    """
    found = [i for i, piece in enumerate(pieces) if _is_candidate(piece)]
    streaks: list[list[int]] = []
    for i in found:
        if streaks and streaks[-1][-1] == i - 1:
            streaks[-1].append(i)
        else:
            streaks.append([i])
    chosen = [i for streak in streaks for i in (streak if len(streak) < _LISTED else streak[-1:])]
    if sum(numbers_chapter(pieces[i].block.text) for i in chosen) < 2:
        return
    for i in chosen:
        pieces[i].heading = heading_level(pieces[i].block.text)
        pieces[i].block = replace(pieces[i].block, kind="heading")


def _is_candidate(piece: Piece) -> bool:
    block = piece.block
    return block.is_spoken and block.kind == "paragraph" and heading_level(block.text) > 0
