"""How far front and back matter that is known by its title alone reaches: a heading may be the last one of a text."""

import re
from collections.abc import Iterable, Sequence

from voice_core.audiobook.letters import letters_of
from voice_core.audiobook.model import count_characters
from voice_core.audiobook.reading.heading_lines import is_bare_number
from voice_core.audiobook.reading.pieces import Piece

_LARGEST_SHARE = 0.5  # of a book's text: with more of it, a chapter is the book itself
_LONGEST_IN_SHORT_BOOK = 300  # characters of front or back matter, which may be half of a very short book
_SHORTEST_PROSE = 150  # characters; entries of contents are shorter
_SENTENCE = re.compile(r"(?:\w+\W+){7,}.*[.!?؟…][\"”’»)]*", re.S)
_HEADINGS_ABOVE = 2  # short blocks above the first prose that may be its heading


def spoken_size(pieces: Iterable[Piece]) -> int:
    """The characters that are spoken so far."""
    return sum(count_characters(piece.block.text) for piece in pieces if piece.block.is_spoken)


def is_most_of_book(pieces: Iterable[Piece], book: int) -> bool:
    """Whether pieces are all that is spoken of a book with `book` characters, or more than half of it and long."""
    size = spoken_size(pieces)
    return size >= book or size > max(_LARGEST_SHARE * book, _LONGEST_IN_SHORT_BOOK)


def end_of_contents(pieces: Sequence[Piece]) -> int:
    """Where a list of chapters ends, and the text begins: the index of the first piece of the text."""
    prose = next((i for i, piece in enumerate(pieces) if i and _is_prose(piece)), len(pieces))
    if prose == len(pieces):
        return prose
    listed = " ".join(letters_of(piece.block.text) for piece in pieces[:prose])
    end = prose
    for i in range(prose - 1, max(0, prose - 1 - _HEADINGS_ABOVE), -1):
        text = pieces[i].block.text
        if is_bare_number(text) or (letters_of(text) and listed.count(letters_of(text)) > 1):
            end = i
    return end


def has_prose(pieces: Iterable[Piece]) -> bool:
    """Whether there is a paragraph that is longer than an entry of contents."""
    return any(_is_prose(piece) for piece in pieces)


def _is_prose(piece: Piece) -> bool:
    block = piece.block
    if not block.is_spoken or block.kind not in ("paragraph", "quote"):
        return False
    return len(block.text) >= _SHORTEST_PROSE or bool(_SENTENCE.fullmatch(block.text))
