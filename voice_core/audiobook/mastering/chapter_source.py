"""What a chapter is made of: its text joined with its speech."""

import dataclasses
from dataclasses import dataclass, field

from voice_core.audiobook.audio_manifest import ChunkAudioManifest, ChunkAudioRow
from voice_core.audiobook.chunk_manifest import BookManifest, ChunkRow
from voice_core.audiobook.commands import build_command
from voice_core.language import pluralize
from voice_core.layout import slug

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


def join_chapters(book: BookManifest, speech: ChunkAudioManifest) -> list[ChapterSource]:
    """The chapters of a book with their speech; chunks whose speech failed have none.

    Raises LookupError where a chunk has no row of its words among those of the speech: the text has changed since it
    was spoken.
    """
    audio = {row.chunk_id: row for row in speech.rows}
    outdated = [
        row.chunk_id
        for row in book.chunks()
        if row.chunk_id not in audio or audio[row.chunk_id].words_digest != row.words_digest
    ]
    if outdated:
        raise LookupError(
            f"the speech of {book.partition} is older than its text: {pluralize(len(outdated), 'chunk')} without "
            f"speech of these words, the first is {outdated[0]}: run `{build_command(book.partition)}`, or materialize "
            "chunk_audio of this partition"
        )
    rows = dict(book.by_chapter())
    chapters = []
    for number, (title, level) in enumerate(book.chapters, 1):
        own = tuple(rows.get(number, ()))
        spoken: list[SpokenChunk] = []
        for row in (row for row in own if row.is_spoken):
            if audio[row.chunk_id].spoken:
                spoken.append(SpokenChunk(row, audio[row.chunk_id], row.pause_after))
            elif spoken:
                longer = max(spoken[-1].pause, row.pause_after, key=_PAUSES.index)
                spoken[-1] = dataclasses.replace(spoken[-1], pause=longer)
        chapters.append(ChapterSource(number, title, level, own, tuple(spoken)))
    return chapters
