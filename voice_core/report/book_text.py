"""Prepares the text of a book for a page: paragraphs with the times of their words, and the exceptions."""

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Literal

from voice_core.audiobook.audio_manifest import ChunkAudioManifest, ChunkAudioRow, mos_score
from voice_core.audiobook.chunk_manifest import BookManifest, ChunkRow
from voice_core.audiobook.model import count_characters
from voice_core.recognition.word_times import Word

Status = Literal["spoken", "failed", "silent", "missing", "refused", "skipped"]
"""`failed`: the best take failed a test; `silent`: no take gave speech; `missing`: not spoken yet."""

_OUTSIDE = "outside of the chapters"
_MOST_BETWEEN = 60  # characters between two words; one that is found farther away is another word of the same spelling


@dataclass(frozen=True, slots=True)
class BookLine:
    """A row of the book's text with its speech. `anchor` is its id in a page."""

    anchor: str
    row: ChunkRow
    chapter_title: str
    speech: ChunkAudioRow | None = None

    @property
    def status(self) -> Status:
        if self.row.refused:
            return "refused"
        if not self.row.is_spoken:
            return "skipped"
        if self.speech is None:
            return "missing"
        if not self.speech.spoken:
            return "silent"
        return "spoken" if self.speech.exceptions == "[]" else "failed"

    @property
    def is_exception(self) -> bool:
        return self.status in ("refused", "silent", "failed")

    @property
    def notes(self) -> list[tuple[str, str]]:
        """Reason and message: why the text is not spoken, and the tests that its speech failed."""
        row, speech = self.row, self.speech
        if not row.is_spoken:
            return [(row.refused or row.skipped or "not spoken", row.message)]
        if speech is None:
            return [("no speech yet", "")]
        notes = [] if speech.spoken else [(speech.reason or "no speech", speech.message)]
        return notes + [(str(test), str(message)) for test, message in json.loads(speech.exceptions)]

    @property
    def mos_score(self) -> float | None:
        return mos_score(self.speech) if self.speech else None

    @property
    def place(self) -> str:
        """
        >>> BookLine("1", ChunkRow("", 0, 0, "other", "Index"), "", None).place
        'outside of the chapters'
        """
        chapter = f"chapter {self.row.chapter}" if self.row.chapter else _OUTSIDE
        title = f"“{self.chapter_title}”" if self.chapter_title else ""
        chunk = f"chunk {self.row.chunk_id}" if self.row.chunk_id else ""
        return ", ".join(filter(None, (chapter, title, chunk, self.row.place)))


@dataclass(frozen=True, slots=True)
class Passage:
    """A line as it is shown. `pieces` are its text in order, each with whether it has a time.

    `times` are the starts and ends of the pieces that have one, in milliseconds from `at_sec`, which is in seconds from
    the start of the sound; "" without sound.
    """

    line: BookLine
    pieces: Sequence[tuple[str, bool]]
    at_sec: float = 0.0
    times: str = ""


@dataclass(frozen=True, slots=True)
class Paragraph:
    """A block of the book. `at_sec` is when it begins in the sound, None without."""

    kind: str
    language: str
    passages: tuple[Passage, ...]

    @property
    def at_sec(self) -> float | None:
        return next((item.at_sec for item in self.passages if item.times), None)

    @property
    def separator(self) -> str:
        return "\n" if self.kind == "verse" else " "


def join_book(book: BookManifest, audio: ChunkAudioManifest) -> list[BookLine]:
    """Every row of the book with its speech, in order."""
    speech = {row.chunk_id: row for row in audio.rows}
    titles = {number: title for number, (title, _) in enumerate(book.chapters, 1)}
    return [
        BookLine(
            row.chunk_id or f"row-{index}",
            row,
            titles.get(row.chapter, ""),
            speech.get(row.chunk_id) if row.is_spoken else None,
        )
        for index, row in enumerate(book.rows)
    ]


def rank_exceptions(lines: Iterable[BookLine]) -> list[BookLine]:
    """The exceptions, worst first: text without speech, the longest first; then speech that failed the most tests."""

    def badness(line: BookLine) -> tuple[bool, int]:
        failed = line.status == "failed"
        return failed, -(len(line.notes) if failed else count_characters(line.row.text))

    return sorted((line for line in lines if line.is_exception), key=badness)


def make_paragraphs(
    lines: Iterable[BookLine], language: str, spans_sec: Mapping[str, tuple[float, float]]
) -> Iterator[Paragraph]:
    """The blocks of `lines`. `spans_sec` is the start and end of each chunk that the sound has.

    `language` is that of the book; a row may have its own.
    """
    for _, group in groupby(lines, key=lambda line: (line.row.chapter, line.row.block)):
        inside = list(group)
        passages = tuple(_passage(line, spans_sec.get(line.row.chunk_id)) for line in inside)
        yield Paragraph(inside[0].row.kind, inside[0].row.language or language, passages)


def _passage(line: BookLine, span_sec: tuple[float, float] | None) -> Passage:
    text = line.row.text
    if line.speech is None or span_sec is None:
        return Passage(line, [(text, False)])
    at_sec, length_sec = span_sec[0], span_sec[1] - span_sec[0]
    pieces = split_at_words(text, [word for word in line.speech.word_times() if word.start_sec < length_sec])
    words = [word for _, word in pieces if word is not None]
    if not words:  # all of the chunk is one piece
        pieces, words = [(text, Word(text, 0.0, length_sec))], [Word(text, 0.0, length_sec)]
    times = " ".join(f"{round(1000 * word.start_sec)} {round(1000 * min(word.end_sec, length_sec))}" for word in words)
    return Passage(line, [(piece, word is not None) for piece, word in pieces], round(at_sec, 3), times)


def split_at_words(text: str, words: Iterable[Word]) -> list[tuple[str, Word | None]]:
    """All of a text in pieces, each with the word that it is, None for what is between words.

    A word that the text does not have soon after the word before it has no piece.

    >>> words = [Word("So –", 0.0, 0.3), Word("not here", 0.3, 0.4), Word("it", 0.5, 0.6), Word("is.", 0.6, 1.0)]
    >>> [(piece, word and word.start_sec) for piece, word in split_at_words("So  – it is.", words)]
    [('So  –', 0.0), (' ', None), ('it', 0.5), (' ', None), ('is.', 0.6)]
    """
    pieces: list[tuple[str, Word | None]] = []
    done = 0
    for word in words:
        pattern = r"\s+".join(map(re.escape, word.text.split()))
        found = re.compile(pattern).search(text, done) if pattern else None
        if found is None or found.start() - done > _MOST_BETWEEN:
            continue
        if found.start() > done:
            pieces.append((text[done : found.start()], None))
        pieces.append((found[0], word))
        done = found.end()
    return [*pieces, (text[done:], None)] if done < len(text) else pieces
