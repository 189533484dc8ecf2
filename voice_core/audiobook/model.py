"""A book as it was read: its chapters, and every block of its text, spoken or not."""

import unicodedata
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

BlockKind = Literal["heading", "paragraph", "quote", "verse", "list_item", "table", "code", "note", "caption", "other"]
Pause = Literal["clause", "sentence", "paragraph", "scene", "heading", "chapter"]
"""What follows a chunk; the silence after it depends on this."""


class BookError(ValueError):
    """The file cannot be read as a book. The message names the file, the part of it, and the reason."""


def count_characters(text: str) -> int:
    """How many characters of a text count: neither white space nor invisible ones (soft hyphens, joiners, controls).

    >>> count_characters("so\\u00adft  hyphen\\n"), count_characters("\\u200fكتاب")
    (10, 4)
    """
    visible = "".join(text.split())
    if visible.isprintable():  # then none is of the categories below; this is the fast way, and nearly every text's
        return len(visible)
    return sum(unicodedata.category(char) not in ("Cf", "Cc") for char in visible)


@dataclass(frozen=True, slots=True)
class SkippedText:
    """Text inside a block that is not spoken: a note's mark, a page number, the reading of a ruby."""

    text: str
    reason: str


@dataclass(frozen=True, slots=True)
class Block:
    """A paragraph, heading or the like, in reading order.

    `text` has the book's words with single spaces; lines of verse and of code, and the cells of a table's row, are
    separated by "\\n". `place` says where it is: "OEBPS/ch1.xhtml#p12", or "line 120" of a text. `skipped` is the
    reason why the block is not spoken, "" where it is.
    """

    text: str
    kind: BlockKind = "paragraph"
    place: str = ""
    skipped: str = ""
    language: str = ""  # BCP-47, where it is not the book's
    scene_break_before: bool = False
    inline: tuple[SkippedText, ...] = ()

    @property
    def is_spoken(self) -> bool:
        return not self.skipped


@dataclass(frozen=True, slots=True)
class Chapter:
    """A chapter with its blocks; its heading is one of them where the book has it. `level` is 1 for a part or chapter,
    2 for what is below it."""

    title: str
    blocks: tuple[Block, ...] = ()
    level: int = 1


@dataclass(frozen=True, slots=True)
class Cover:
    """The cover as it is in the book: JPEG or PNG."""

    data: bytes = field(repr=False)
    media_type: str = "image/jpeg"


@dataclass(frozen=True, slots=True)
class Book:
    """A book. `source_characters` is the number of characters in its documents, counted apart from the blocks.

    `unplaced` are blocks outside of all chapters, none of them spoken: documents left out, contents, and the like.
    """

    title: str
    chapters: tuple[Chapter, ...]
    source_characters: int
    authors: tuple[str, ...] = ()
    language: str = ""  # BCP-47; "" where the book does not say
    identifier: str = ""
    publisher: str = ""
    date: str = ""
    description: str = ""
    cover: Cover | None = None
    unplaced: tuple[Block, ...] = ()
    warnings: tuple[str, ...] = ()  # what was repaired or ignored while reading

    def blocks(self) -> Iterator[Block]:
        for chapter in self.chapters:
            yield from chapter.blocks
        yield from self.unplaced

    def skipped_characters(self) -> dict[str, int]:
        """The number of characters that are not spoken, by reason."""
        counts: Counter[str] = Counter()
        for block in self.blocks():
            if block.skipped:
                counts[block.skipped] += count_characters(block.text)
            for item in block.inline:
                counts[item.reason] += count_characters(item.text)
        return dict(sorted(counts.items()))

    def spoken_characters(self) -> int:
        return sum(count_characters(block.text) for block in self.blocks() if block.is_spoken)

    @property
    def adds_up(self) -> bool:
        """Whether every character of the documents is in a block, and no character twice."""
        return self.spoken_characters() + sum(self.skipped_characters().values()) == self.source_characters
