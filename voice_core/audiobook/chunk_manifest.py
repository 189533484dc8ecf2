"""The manifest of a book's text, which is the commit record of the stage `book_chunks`: a row for each chunk.

Text that is not spoken has rows, too. So the rows together are all the text of the book.
"""

from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

from voice_core.audiobook.model import count_characters
from voice_core.fingerprint import fingerprint, sha256
from voice_core.layout import BookKey, manifest_key, stage_prefix
from voice_core.stages.manifest import ManifestFormat, load_stored_manifest
from voice_core.stages.packed_rows import MappedSequence
from voice_core.storage.store import Store

STAGE = "book_chunks"
SCHEMA_VERSION = 1
ADDED_TITLE = "title"
"""The kind of a row with a chapter's title from the contents, which the text itself does not have."""
INLINE = "inline"
"""The kind of a row with text inside a block that is not spoken: a note's mark, a page number."""


@dataclass(frozen=True, slots=True)
class ChunkRow:
    """A chunk, or a piece of text that is not spoken.

    `chunk_id` is "<chapter>-<number in the chapter>", such as "003-0012"; "" where `skipped` or `refused` has a reason.
    `text` has the book's words, `spoken_text` what the engine gets. `sentences` is JSON [[start, end], …], slices of
    `text`. `text_map` is JSON [[start, end, spoken start, spoken end], …]: the parts of `text` that `spoken_text` says
    in other words; outside of them both are equal.
    """

    chunk_id: str
    chapter: int  # from 1; 0 for text outside of all chapters
    block: int  # in the chapter, from 0
    kind: str
    text: str
    spoken_text: str = ""
    sentences: str = "[]"
    text_map: str = "[]"
    speaker: str = ""  # the name in `[Name]: …`, "" for the narrator
    voice: str = ""
    language: str = ""
    pause_after: str = "sentence"
    skipped: str = ""  # why a setting or the book's structure leaves it out
    refused: str = ""  # why the engine cannot speak it
    message: str = ""
    place: str = ""

    @property
    def is_spoken(self) -> bool:
        return bool(self.chunk_id)

    @property
    def words_digest(self) -> str:
        """A hash of what is spoken and of the book's words for it: the speech of other words does not fit."""
        return fingerprint(self.text, self.spoken_text, self.text_map, self.voice, self.language)

    @property
    def is_added(self) -> bool:
        """Whether the text is not in the book's documents, and so not among its characters."""
        return self.kind == ADDED_TITLE


@dataclass(frozen=True, slots=True)
class BookManifest:
    """`chapters` has title and level of each chapter. `metadata` has what else the book says of itself: title, authors,
    language, identifier, publisher, date, description. `cover` is the key of the cover's file, "" without one."""

    partition: str  # the book's key
    complete: bool
    inputs: str  # hash of the book's file, the settings and the lexicon
    source: str = ""  # the file's key in the folder of books
    source_sha256: str = ""
    source_characters: int = 0
    metadata: dict[str, Any] = field(default_factory=dict)
    chapters: Sequence[tuple[str, int]] = ()
    cover: str = ""
    cover_sha256: str = ""
    warnings: Sequence[str] = ()
    rows: Sequence[ChunkRow] = field(default=(), repr=False)

    @property
    def data_version(self) -> str:
        return sha256(self.to_bytes())[:32]

    @property
    def title(self) -> str:
        return str(self.metadata.get("title") or self.partition)

    def chunks(self) -> Sequence[ChunkRow]:
        """The chunks that are spoken, in order."""
        numbers = array("q", (number for number, row in enumerate(self.rows) if row.is_spoken))
        return MappedSequence(self.rows.__getitem__, numbers)

    def by_chapter(self) -> Iterator[tuple[int, list[ChunkRow]]]:
        """The number and the rows of each chapter, spoken or not."""
        inside = (row for row in self.rows if row.chapter)
        for chapter, rows in groupby(inside, key=lambda row: row.chapter):
            yield chapter, list(rows)

    def characters(self) -> dict[str, int]:
        """The characters of the book: "spoken", and by reason those that are not. Added titles do not count."""
        counts = {"spoken": 0}
        for row in (row for row in self.rows if not row.is_added):
            name = row.skipped or row.refused or "spoken"
            counts[name] = counts.get(name, 0) + count_characters(row.text)
        return counts

    def to_bytes(self) -> bytes:
        names = [name for name in self.__slots__ if name != "rows"]
        return FORMAT.to_bytes({name: getattr(self, name) for name in names}, self.rows)

    @classmethod
    def from_bytes(cls, data: bytes) -> "BookManifest":
        """Raises ValueError or KeyError for what is not a manifest."""
        metadata, rows = FORMAT.from_bytes(data)
        metadata["chapters"] = tuple((title, level) for title, level in metadata["chapters"])
        return cls(**metadata, rows=rows)


FORMAT = ManifestFormat(ChunkRow, "book_manifest", SCHEMA_VERSION)


def read_book_manifest(store: Store, book: BookKey) -> BookManifest | None:
    """The manifest of a book, complete or not; None where there is none or it is damaged. Raises `NewerStateError`."""
    return load_stored_manifest(
        store, manifest_key(STAGE, book), lambda store, _, data: parse_book_manifest(store, book, data)
    )


def parse_book_manifest(store: Store, book: BookKey, data: bytes) -> BookManifest:
    """The manifest `data` of a book. Raises `DamagedStateError` and `NewerStateError`."""
    return FORMAT.parse(store, manifest_key(STAGE, book), data, str(book), BookManifest.from_bytes)


def cover_key(book: BookKey, media_type: str) -> str:
    return f"{stage_prefix(STAGE, book)}cover.{'png' if media_type == 'image/png' else 'jpg'}"
