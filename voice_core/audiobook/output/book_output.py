"""What the files of a whole book are made from, and how such a file is declared."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from voice_core.audiobook.mastering.chapter_source import ChapterSource
from voice_core.audiobook.mastering.marks import SentenceMark, mark_chapter
from voice_core.audiobook.mastering.master import MasteredChapter
from voice_core.audiobook.output.cover import CoverImage
from voice_core.audiobook.output.m4b import BookTags
from voice_core.fingerprint import fingerprint
from voice_core.layout import BookKey, slug
from voice_core.storage.store import Store

AUDIOBOOK_VERSION = 1
"""Of all files of an audiobook; a change writes them anew. A change of the mastering alone has a version of its own."""


@dataclass(frozen=True, slots=True)
class OutputFile:
    """A file that is made from all chapters, or from the text of one. `write` writes it to a local path."""

    key: str
    format: str
    inputs: str
    write: Callable[[Path], None] = field(repr=False)
    chapter: int = 0
    sample_count: int = 0


def recording_key(prefix: str, book: BookKey, chapter: int) -> str:
    return f"{prefix}recording/{book}/chapter-{chapter:03d}"


SpokenChapter = tuple[ChapterSource, MasteredChapter, int]
"""A chapter that has speech, its master, and its position in the book in samples."""


@dataclass(frozen=True, slots=True)
class BookOutput:
    """A book whose chapters are mastered and encoded. `m4a` has the key and the SHA-256 of each chapter's AAC."""

    store: Store
    book: BookKey
    prefix: str
    chapters: Sequence[ChapterSource]
    masters: dict[int, MasteredChapter]
    m4a: dict[int, tuple[str, str]]
    rate_hz: int
    tags: BookTags
    identifier: str = ""
    text_version: str = ""  # the data version of the text
    cover: CoverImage | None = None
    rest: ChapterSource | None = None  # text outside of all chapters

    @property
    def name(self) -> str:
        """The name of the book in names of files."""
        return slug(self.tags.title)

    @property
    def cover_sha256(self) -> str:
        return self.cover.sha256 if self.cover else ""

    def recording_key(self, chapter: int) -> str:
        """The key of a chapter's recording, without extension: its channel is the book."""
        return recording_key(self.prefix, self.book, chapter)

    def with_speech(self) -> Iterator[SpokenChapter]:
        """The chapters that have speech, in order."""
        start = 0
        for chapter in self.chapters:
            master = self.masters.get(chapter.number)
            if master is not None:
                yield chapter, master, start
                start += master.sample_count

    def marks(self, chapter: ChapterSource) -> list[SentenceMark]:
        """The sentences of a chapter; none where it has no speech."""
        master = self.masters.get(chapter.number)
        return mark_chapter(chapter, master, self.rate_hz) if master is not None else []

    def text_inputs(self, chapter: ChapterSource) -> str:
        """The hash of a chapter's sentences and their positions."""
        master = self.masters[chapter.number]
        words = [
            (item.row.chunk_id, item.row.text, item.row.sentences, item.audio.words, item.row.speaker)
            for item in chapter.spoken
        ]
        return fingerprint("marks", master.inputs, self.rate_hz, words)

    def open_m4a(self, number: int) -> AbstractContextManager[IO[bytes]]:
        return self.store.open(self.m4a[number][0])
