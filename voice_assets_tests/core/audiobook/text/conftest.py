"""Small books in code, and the engines that they are chunked for."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from voice_core.audiobook.chunk_manifest import BookManifest, ChunkRow
from voice_core.audiobook.model import Block, Book, Chapter, count_characters
from voice_core.audiobook.text import Lexicon, make_rows
from voice_core.settings.audiobook import AudiobookSettings
from voice_core.tts.base import Capabilities


@dataclass(frozen=True)
class FakeSpeaker:
    """What text depends on of an engine: by default as the embedded one, English with phonemes in brackets."""

    languages: tuple[str, ...] = ("en",)
    max_characters: int = 400
    inline_phonemes: bool = True
    name: str = "fake"
    revision: str = "1"
    voices: tuple[str, ...] = ("high", "low")
    capabilities: Capabilities = field(init=False)

    def __post_init__(self) -> None:
        capabilities = Capabilities(
            deterministic=True,
            thread_safe=True,
            languages=self.languages,
            max_characters=self.max_characters,
            inline_phonemes=self.inline_phonemes,
        )
        object.__setattr__(self, "capabilities", capabilities)

    def prompt_identity(self, voice: str) -> str:
        if voice not in ("default", *self.voices):
            raise ValueError(f"{self.name} has no such voice; it has {', '.join(self.voices)}")
        return ""


ANY_LANGUAGE = FakeSpeaker(languages=())


def make_book(*chapters: Sequence[Block | str], **values: Any) -> Book:
    """A book with untitled chapters of these blocks; a text is a paragraph."""
    made = tuple(
        Chapter("", tuple(item if isinstance(item, Block) else Block(item) for item in blocks)) for blocks in chapters
    )
    book = Book("The Book", made, 0, **values)
    characters = sum(
        count_characters(block.text) + sum(count_characters(item.text) for item in block.inline)
        for block in book.blocks()
    )
    return Book("The Book", made, characters, **values)


def chunk(
    *blocks: Block | str,
    speaker: FakeSpeaker | None = None,
    lexicon: Lexicon | None = None,
    language: str = "",
    **settings: Any,
) -> list[ChunkRow]:
    """The rows of a book of one chapter."""
    given = AudiobookSettings(**settings)
    book = make_book(blocks, language=language)
    return make_rows(book, given, speaker or FakeSpeaker(), lexicon or Lexicon())


def texts(rows: Sequence[ChunkRow]) -> list[str]:
    """The texts of the chunks that are spoken."""
    return [row.text for row in rows if row.is_spoken]


def spoken(rows: Sequence[ChunkRow]) -> list[str]:
    return [row.spoken_text for row in rows if row.is_spoken]


def manifest_of(book: Book, rows: Sequence[ChunkRow]) -> BookManifest:
    chapters = tuple((chapter.title, chapter.level) for chapter in book.chapters)
    return BookManifest("book", True, "", source_characters=book.source_characters, chapters=chapters, rows=tuple(rows))
