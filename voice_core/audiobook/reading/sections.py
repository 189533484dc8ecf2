"""Sections of a book that may become chapters; those that are front or back matter by their titles are skipped.

A title alone says little: "Sources" may be a chapter of a novel. So it counts before the first and after the last
chapter; in between only for what cannot be a chapter.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import accumulate, groupby

from voice_core.audiobook.reading.front_back_matter import (
    is_ambiguous,
    is_around_text,
    is_copyright,
    is_skipped,
    matter_of_title,
    matter_of_unlisted_text,
)
from voice_core.audiobook.reading.matter_extent import end_of_contents, has_prose, is_most_of_book, spoken_size
from voice_core.audiobook.reading.pieces import Piece
from voice_core.settings.audiobook import AudiobookSettings

_SHORTEST_CHAPTER = 500  # characters, or this share of the book:
_SHARE_OF_CHAPTER = 0.05
_SHARE_AT_END = 0.15  # of a book: such as an excerpt of the next one, which follows its back matter
_SHARE_OF_NOTES = 0.5  # blocks that begin with a number


@dataclass(slots=True)
class Section:
    title: str
    level: int
    pieces: list[Piece] = field(default_factory=list)
    matter: str = ""
    implicit: bool = False  # nothing says that a chapter begins here

    @property
    def is_spoken(self) -> bool:
        return any(piece.block.is_spoken and piece.block.text for piece in self.pieces)


def title_of(pieces: Iterable[Piece], title: str) -> str:
    """The first heading of these pieces; `title` where there is none."""
    headings = (piece.block.text for piece in pieces if piece.heading and piece.block.is_spoken)
    return next(headings, "") or title


@dataclass(slots=True)
class MatterSkipper:
    """Skips front and back matter by titles. `size` is the number of spoken characters of the whole book."""

    settings: AudiobookSettings
    title: str
    authors: Sequence[str]
    size: int
    warnings: list[str]
    documents: frozenset[str] = frozenset()  # those with chapters

    def apply(self, sections: Sequence[Section]) -> list[Section]:
        """The sections, and those that follow matter in a section: that ends with its document, contents where prose
        begins."""
        listed = [section for section in sections if not section.implicit]
        self.documents = frozenset(piece.document for section in listed for piece in section.pieces)
        pairs = zip(sections, self._find_matters(sections), strict=True)
        return [part for section, matter in pairs for part in self._split(section, matter)]

    def _find_matters(self, sections: Sequence[Section]) -> list[str]:
        """What each section is by its title and place, "" for chapters."""
        matters = [matter_of_title(section.title) for section in sections]
        sizes = [spoken_size(section.pieces) for section in sections]
        shortest = min(_SHORTEST_CHAPTER, _SHARE_OF_CHAPTER * self.size)
        chapters = [
            i
            for i, section in enumerate(sections)
            if not section.implicit and not matters[i] and sizes[i] >= shortest and not is_around_text(section.title)
        ]
        chapters = chapters or [i for i, matter in enumerate(matters) if not matter and not sections[i].implicit]
        first, last = (chapters[0], chapters[-1]) if chapters else (len(sections), -1)
        read = list(accumulate(sizes))
        titles = Counter(section.title.casefold() for section in sections)
        for i, section in enumerate(sections):
            is_clear = not is_ambiguous(section.title)
            if not matters[i] or i > last or titles[section.title.casefold()] > 1:
                continue
            if i < first:
                is_matter = is_clear or matters[i] != "back_matter" or sizes[i] < shortest
            else:
                is_end = is_clear and self.size - read[i] <= _SHARE_AT_END * self.size
                is_matter = is_end or _is_list(section.pieces, matters[i])
            matters[i] = matters[i] if is_matter else ""
        return matters

    def _split(self, section: Section, matter: str) -> list[Section]:
        if section.implicit:
            self._skip_unlisted(section)
            return [section]
        section.matter = matter if is_skipped(matter, self.settings) else ""
        if not section.matter:
            return [section]
        rest: list[Piece] = []
        if section.matter != "back_matter":
            first = section.pieces[0].document
            end = next((i for i, piece in enumerate(section.pieces) if piece.document != first), len(section.pieces))
            if section.matter == "contents":
                end = min(end, end_of_contents(section.pieces))
            rest, section.pieces = section.pieces[end:], section.pieces[:end]
        if not self._skip(section.pieces, section.matter, section.title):
            section.matter = ""
        if not rest:
            return [section]
        return [section, Section(title_of(rest, self.title), section.level, rest, implicit=True)]

    def _skip_unlisted(self, section: Section) -> None:
        """Skips the documents before the first chapter that are front matter; of one that goes on with a chapter, the
        notice of copyright."""
        for document, pieces in groupby(section.pieces, lambda piece: piece.document):
            own = list(pieces)
            if document in self.documents:
                notices = [piece for piece in own if is_copyright(piece.block.text)]
                if notices and is_skipped("front_matter", self.settings):
                    self._skip(notices, "front_matter", notices[0].block.text[:40])
            text = " ".join(piece.block.text for piece in own if piece.block.is_spoken)
            heading = matter_of_title(title_of(own, ""))
            is_whole = document and document not in self.documents
            matter = heading or (matter_of_unlisted_text(text, self.title, self.authors) if is_whole else "")
            if is_skipped(matter, self.settings):
                self._skip(own, matter, title_of(own, document))

    def _skip(self, pieces: Sequence[Piece], matter: str, name: str) -> bool:
        """Whether pieces are left out; not those that are most of the book."""
        if is_most_of_book(pieces, self.size):
            self.warnings.append(f'"{name}" looks like {matter}, but is most of the book\'s text, and is spoken')
            return False
        for piece in pieces:
            if not piece.spoken_kind and not piece.note:
                piece.skip(matter)
        return True


def _is_list(pieces: Sequence[Piece], matter: str) -> bool:
    """Whether the text of notes or contents reads like such: numbered, or without any prose."""
    if matter == "contents":
        return not has_prose(pieces)
    texts = [piece.block.text for piece in pieces if piece.block.is_spoken and not piece.heading and piece.block.text]
    numbered = sum(text.lstrip("[(*†")[:1].isdigit() for text in texts)
    return matter == "note" and numbered >= _SHARE_OF_NOTES * len(texts)
