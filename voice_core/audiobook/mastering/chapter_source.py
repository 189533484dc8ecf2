"""What a chapter is made of: its text joined with its speech."""

import dataclasses
from array import array
from collections.abc import Iterator
from dataclasses import dataclass, field

from voice_core.audiobook.audio_manifest import ChunkAudioManifest, ChunkAudioRow
from voice_core.audiobook.chunk_manifest import BookManifest, ChunkRow
from voice_core.audiobook.commands import build_command
from voice_core.language import pluralize
from voice_core.layout import slug
from voice_core.stages.packed_rows import MappedSequence

_PAUSES = ("clause", "sentence", "paragraph", "heading", "scene", "chapter")
"""From the shortest to the longest."""


@dataclass(frozen=True, slots=True)
class SpokenChunk:
    """A chunk that has speech. `pause` is its own, or the longest of those of the chunks without speech after it."""

    row: ChunkRow
    audio: ChunkAudioRow
    pause: str = "sentence"


@dataclass(frozen=True, slots=True)
class ChapterSource:
    """A chapter: all rows of its text, and those chunks that have speech, both in order. `number` counts from 1."""

    number: int
    title: str
    level: int = 1
    rows: tuple[ChunkRow, ...] = field(default=(), repr=False)
    spoken: tuple[SpokenChunk, ...] = field(default=(), repr=False)

    @property
    def file_name(self) -> str:
        """The name of the chapter's files, without extension.

        >>> ChapterSource(3, "Who? What/where").file_name
        '003 Who%3F What%2Fwhere'
        """
        return f"{self.number:03d} {slug(self.title)}" if self.title else f"{self.number:03d}"


class BookChapters(MappedSequence[int, ChapterSource]):
    """The chapters of a book with their speech; chunks whose speech failed have none.

    A chapter is joined whenever it is asked for, so that a long book is never in memory as a whole. Raises LookupError
    where a chunk has no row of its words among those of the speech: the text has changed since it was spoken.
    """

    def __init__(self, book: BookManifest, speech: ChunkAudioManifest) -> None:
        super().__init__(self._join, range(1, len(book.chapters) + 1))
        self._titles, self._text, self._speech = book.chapters, book.rows, speech.rows
        numbers = {row.chunk_id: number for number, row in enumerate(speech.rows)}
        outdated: list[str] = []
        self._text_numbers: dict[int, array[int]] = {}  # of a chapter's rows
        self._speech_numbers: dict[int, array[int]] = {}  # of the speech of a chapter's chunks
        for number, row in enumerate(book.rows):
            if row.chapter:
                self._text_numbers.setdefault(row.chapter, array("q")).append(number)
            if row.is_spoken:
                found = numbers.get(row.chunk_id, -1)
                self._speech_numbers.setdefault(row.chapter, array("q")).append(found)
                if found < 0 or speech.rows[found].words_digest != row.words_digest:
                    outdated.append(row.chunk_id)
        if outdated:
            raise LookupError(
                f"the speech of {book.partition} is older than its text: {pluralize(len(outdated), 'chunk')} without "
                f"speech of these words, the first is {outdated[0]}: run `{build_command(book.partition)}`, or "
                "materialize chunk_audio of this partition"
            )

    def _join(self, number: int) -> ChapterSource:
        title, level = self._titles[number - 1]
        rows = tuple(self._text[one] for one in self._text_numbers.get(number, ()))
        spoken: list[SpokenChunk] = []
        audio = (self._speech[one] for one in self._speech_numbers.get(number, ()))
        for row, of_row in zip((row for row in rows if row.is_spoken), audio, strict=True):
            if of_row.spoken:
                spoken.append(SpokenChunk(row, of_row, row.pause_after))
            elif spoken:
                longer = max(spoken[-1].pause, row.pause_after, key=_PAUSES.index)
                spoken[-1] = dataclasses.replace(spoken[-1], pause=longer)
        return ChapterSource(number, title, level, rows, tuple(spoken))

    def with_speech(self) -> Iterator[ChapterSource]:
        """The chapters that have any speech, in order."""
        return (chapter for chapter in self if chapter.spoken)
