"""The rows of a book: its chunks, and all text that is not spoken, with the reason."""

import dataclasses
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate

from voice_core.audiobook.chunk_manifest import ADDED_TITLE, INLINE, ChunkRow
from voice_core.audiobook.letters import have_words_in_common, letters_of
from voice_core.audiobook.model import Block, Book, BookError, Chapter, count_characters
from voice_core.audiobook.reading.heading_lines import heading_level
from voice_core.audiobook.text.chunks import Chunk, fit_spoken, split_chunks
from voice_core.audiobook.text.lexicon import Lexicon, LexiconMatcher
from voice_core.audiobook.text.refusals import find_unspeakable
from voice_core.audiobook.text.sentences import has_words
from voice_core.audiobook.text.speakable import (
    LANGUAGE,
    ORNAMENT,
    SPEAKER_TAG,
    Speaker,
    find_language_problem,
)
from voice_core.audiobook.text.speakers import SpeakerPart, check_speakers, split_speakers
from voice_core.audiobook.text.spoken import SpokenText, speak_text, without_phonemes
from voice_core.fingerprint import canonical_json
from voice_core.language import names_language, primary_subtag
from voice_core.settings.audiobook import AudiobookSettings
from voice_core.stages.packed_rows import keep_rows
from voice_core.tts.base import Capabilities

_OUTSIDE = "outside of the chapters"
_NUMERAL = re.compile(r"[IVXLC]{2,}\.?|[IVX]\.")  # a paragraph such as "IV" numbers a part
_TITLE_BLOCKS = 3  # blocks at a chapter's beginning that may have its title


def make_rows(
    book: Book, settings: AudiobookSettings, engine: Speaker, lexicon: Lexicon, *, name: str = ""
) -> Sequence[ChunkRow]:
    """The rows of a book, in its order; the text of a block is that of its rows up to white space.

    `name` is the book's key; entries of the lexicon may name it, the title or the identifier. Raises `BookError` where
    names of speakers have no voice, and where the engine does not speak the book's language.
    """
    check_speakers(book, settings.voices, name)
    language = book_language(book, settings)
    if problem := find_language_problem(engine, language):
        raise BookError(
            f"{name or book.title}: {problem}. Choose another engine (VOICE_SPEECH__ENGINE), or set "
            "VOICE_AUDIOBOOK__LANGUAGE where the book gives a wrong language"
        )
    names = frozenset({book.title, book.identifier, name} - {""})
    maker = _RowMaker(settings, engine, lexicon, language, names)

    def rows() -> Iterator[ChunkRow]:
        for number, chapter in enumerate(book.chapters, 1):
            yield from maker.chapter_rows(number, chapter)
        for index, block in enumerate(book.unplaced):
            yield from _unspoken_rows(0, index, dataclasses.replace(block, skipped=block.skipped or _OUTSIDE))

    return keep_rows(rows())


def book_language(book: Book, settings: AudiobookSettings) -> str:
    """The language of a book: that of the settings, else what the book says, else English."""
    given = (code for code in (settings.language, book.language) if names_language(code))
    return next(given, "en")


def chunk_limit(settings: AudiobookSettings, capabilities: Capabilities) -> int:
    """The longest chunk, characters."""
    return min(settings.max_characters or capabilities.max_characters, capabilities.max_characters)


def spoken_characters(rows: Iterable[ChunkRow]) -> dict[str, int]:
    """The characters that are heard, without white space, by language."""
    counts: Counter[str] = Counter()
    for row in rows:
        if row.is_spoken:
            counts[primary_subtag(row.language)] += count_characters(without_phonemes(row.spoken_text))
    return dict(sorted(counts.items()))


@dataclasses.dataclass(frozen=True, slots=True)
class _RowMaker:
    settings: AudiobookSettings
    engine: Speaker
    lexicon: Lexicon
    language: str
    names: frozenset[str]

    def chapter_rows(self, number: int, chapter: Chapter) -> list[ChunkRow]:
        rows: list[ChunkRow] = []
        for index, block in enumerate(chapter.blocks):
            rows += self._block_rows(number, index, block)
            rows += _inline_rows(number, index, block)
        if self.settings.chapter_titles and any(row.spoken_text for row in rows) and _lacks_title(chapter):
            title = Block(" ".join(chapter.title.split()), "heading", "contents")
            # A title is never a speaker's line.
            part = SpeakerPart("", 0, 0, len(title.text))
            added = self._part_rows(number, -1, title, self.language, part)
            rows[:0] = [dataclasses.replace(row, kind=ADDED_TITLE) for row in added]
        return _finish_chapter(rows, chapter)

    def _block_rows(self, chapter: int, index: int, block: Block) -> Iterator[ChunkRow]:
        text = block.text
        language = block.language or self.language
        if block.skipped:
            yield from _text_rows(chapter, index, block)
        elif not text.strip():
            return
        elif not has_words(text):
            yield ChunkRow("", chapter, index, block.kind, text.strip(), skipped=ORNAMENT, place=block.place)
        elif problem := find_language_problem(self.engine, language):
            yield ChunkRow(
                "",
                chapter,
                index,
                block.kind,
                text.strip(),
                language=language,
                refused=LANGUAGE,
                message=problem,
                place=block.place,
            )
        else:
            for part in split_speakers(text):
                yield from self._part_rows(chapter, index, block, language, part)

    def _part_rows(
        self, chapter: int, index: int, block: Block, language: str, part: SpeakerPart
    ) -> Iterator[ChunkRow]:
        """The rows of what one speaker says in a block, the tag included. Chunks have no number yet."""
        text, capabilities = block.text, self.engine.capabilities
        voice = self.settings.voices[part.name] if part.name else self.settings.voice

        def row(start: int, end: int, **values: str) -> ChunkRow:
            return ChunkRow("", chapter, index, block.kind, text[start:end].strip(), place=block.place, **values)

        if part.start < part.tag_end:
            yield row(part.start, part.tag_end, speaker=part.name, skipped=SPEAKER_TAG)
        spoken_part = text[part.tag_end : part.end]
        if not has_words(spoken_part):
            if spoken_part.strip():
                yield row(part.tag_end, part.end, speaker=part.name, skipped=ORNAMENT)
            return
        matcher = self.lexicon.select(language, self.names, voice, phonemes=capabilities.inline_phonemes)
        heading = block.kind == "heading" or bool(_NUMERAL.fullmatch(text))

        def speak(text: str, *, in_words: bool = True) -> SpokenText:
            return speak_text(text, language, matcher, capabilities, heading=heading, in_words=in_words)

        limit = chunk_limit(self.settings, capabilities)
        for chunk in self._chunks(text, part, language, limit, matcher):
            if chunk.refusal is not None:
                refusal = chunk.refusal
                message = refusal.message
                yield row(
                    chunk.start,
                    chunk.end,
                    speaker=part.name,
                    language=language,
                    refused=refusal.reason,
                    message=message,
                )
            elif chunk.skipped:
                yield row(chunk.start, chunk.end, speaker=part.name, skipped=chunk.skipped)
            else:
                for fitted, spoken in fit_spoken(text, chunk, limit, speak):
                    yield row(
                        fitted.start,
                        fitted.end,
                        spoken_text=spoken.text,
                        sentences=canonical_json([[a - fitted.start, b - fitted.start] for a, b in fitted.sentences]),
                        text_map=spoken.map_json,
                        speaker=part.name,
                        voice=voice,
                        language=language,
                        pause_after="sentence" if fitted.ends_sentence else "clause",
                        message=spoken.message,
                    )

    def _chunks(self, text: str, part: SpeakerPart, language: str, limit: int, matcher: LexiconMatcher) -> list[Chunk]:
        start, end = part.tag_end, part.end
        refusals = [
            dataclasses.replace(item, start=start + item.start, end=start + item.end)
            for item in find_unspeakable(text[start:end], language, matcher, self.engine)
        ]
        return split_chunks(text, start, end, language, limit, self.settings.join_characters, refusals)


def _text_rows(chapter: int, index: int, block: Block) -> Iterator[ChunkRow]:
    yield ChunkRow(
        "", chapter, index, block.kind, block.text, language=block.language, skipped=block.skipped, place=block.place
    )


def _inline_rows(chapter: int, index: int, block: Block) -> Iterator[ChunkRow]:
    for item in block.inline:
        if item.text:
            yield ChunkRow("", chapter, index, INLINE, item.text, skipped=item.reason, place=block.place)


def _unspoken_rows(chapter: int, index: int, block: Block) -> Iterator[ChunkRow]:
    yield from _text_rows(chapter, index, block)
    yield from _inline_rows(chapter, index, block)


def _lacks_title(chapter: Chapter) -> bool:
    """Whether the first spoken blocks of a chapter do not have its title, or a part of it as their heading."""
    title = chapter.title
    if not letters_of(title):
        return False
    first = [block for block in chapter.blocks if block.is_spoken and has_words(block.text)][:_TITLE_BLOCKS]
    if first and _begins_with_title(first[0].text, title):
        return False
    headings = [block.text for block in first if block.kind == "heading"]
    joined = " ".join(headings)
    if letters_of(joined) == letters_of(title):  # whatever the spaces between them
        return False
    return not any(have_words_in_common(title, text) for text in (*headings, joined))


def _begins_with_title(text: str, title: str) -> bool:
    """Whether a text is a title, or begins with one such as "Chapter 2"; case and punctuation do not count."""
    words, wanted = ([letters_of(word) for word in item.split()] for item in (text, title))
    words, wanted = [*filter(None, words)], [*filter(None, wanted)]
    return words == wanted or (heading_level(title) > 0 and words[: len(wanted)] == wanted)


def _finish_chapter(rows: Sequence[ChunkRow], chapter: Chapter) -> list[ChunkRow]:
    """The rows with the numbers of chunks, and with the pauses at the ends of blocks."""
    breaks = [0, *accumulate(int(block.scene_break_before) for block in chapter.blocks)]
    result = list(rows)
    spoken = [position for position, row in enumerate(rows) if row.spoken_text]
    for number, (position, following) in enumerate(zip(spoken, [*spoken, -1][1:], strict=True), 1):
        row, after = rows[position], rows[following]
        pause = row.pause_after
        if following < 0:
            pause = "chapter"
        elif after.block != row.block:
            if row.kind in ("heading", ADDED_TITLE):
                pause = "heading"
            else:
                pause = "scene" if breaks[after.block + 1] > breaks[row.block + 1] else "paragraph"
        result[position] = dataclasses.replace(row, chunk_id=f"{row.chapter:03d}-{number:04d}", pause_after=pause)
    return result
