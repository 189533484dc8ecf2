"""Prepares the speech of a book for a page: text with the sound to it, at most so many seconds of it.

The sound is a preview: the chunks as they were spoken, one after the other, not the mastered audiobook.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from voice_core.audio.pcm import Pcm16, to_float
from voice_core.audiobook.audio_manifest import ChunkAudioRow
from voice_core.audiobook.speech_files import read_speech
from voice_core.layout import BookKey
from voice_core.report.book_text import BookLine, Paragraph, make_paragraphs
from voice_core.report.clips import compute_clip_limit_sec, mp3_data_uri, waveform_svg_path
from voice_core.storage.store import Store, StoreError

PAUSE_SEC = 0.3  # between two chunks
BIT_RATE = 48_000  # base64 makes 8 kB of a second
_MIN_SEC = 0.05  # shorter sounds are left out: an encoder may give nothing for them


@dataclass(frozen=True, slots=True)
class ChunkSound:
    """Chunks one after the other: mono PCM, the start and end of each chunk in seconds, and what could not be read."""

    pcm: Pcm16
    spans_sec: dict[str, tuple[float, float]]
    errors: list[str]
    complete: bool


@dataclass(frozen=True, slots=True)
class Reading:
    """Text with its sound: `audio` is the URL of it, "" for none, and `shown_sec` its length; `seconds` is all speech.

    `shortened`: chunks are left out of the sound to keep the page small.
    """

    paragraphs: Sequence[Paragraph]
    seconds: float
    shown_sec: float = 0.0
    audio: str = ""
    wave: str = ""
    errors: Sequence[str] = ()
    shortened: bool = False


@dataclass(frozen=True, slots=True)
class ExceptionCard:
    """An exception with its own sound, if it has one."""

    line: BookLine
    reading: Reading = field(default_factory=lambda: Reading((), 0.0))


@dataclass(frozen=True, slots=True)
class SpeechReader:
    """Reads the speech of a book's chunks, `sample_rate_hz` of all of them."""

    work: Store
    book: BookKey
    sample_rate_hz: int
    language: str

    def read(self, row: ChunkAudioRow) -> Pcm16:
        """The samples of a chunk. Raises as `read_speech`."""
        return read_speech(self.work, self.book, row, self.sample_rate_hz)

    def join(self, lines: Iterable[BookLine], limit_sec: float) -> ChunkSound:
        """Whole chunks up to `limit_sec` in all; a first chunk that is longer is cut."""
        limit = round(limit_sec * self.sample_rate_hz)
        pause = np.zeros(round(PAUSE_SEC * self.sample_rate_hz), np.int16)
        pieces: list[Pcm16] = []
        spans: dict[str, tuple[float, float]] = {}
        errors: list[str] = []
        length, complete = 0, True
        for line in lines:
            row = line.speech
            if row is None or not row.spoken:
                continue
            if pieces and length + len(pause) + row.sample_count > limit:
                complete = False
                break
            try:
                pcm = self.read(row)
            except (StoreError, ValueError) as error:
                errors.append(str(error))
                continue
            if pieces:
                pieces.append(pause)
                length += len(pause)
            complete = complete and length + len(pcm) <= limit
            pcm = pcm[: limit - length]
            spans[row.chunk_id] = (length / self.sample_rate_hz, (length + len(pcm)) / self.sample_rate_hz)
            pieces.append(pcm)
            length += len(pcm)
        return ChunkSound(np.concatenate([pause[:0], *pieces]), spans, errors, complete)

    def embed(self, lines: Sequence[BookLine], limit_sec: float, *, outline: bool = False) -> Reading:
        """The lines with at most `limit_sec` of their sound embedded. `outline`: with the outline of the waveform."""
        sound = self.join(lines, limit_sec)
        shown_sec = len(sound.pcm) / self.sample_rate_hz if len(sound.pcm) else 0.0
        heard = shown_sec >= _MIN_SEC
        return Reading(
            list(make_paragraphs(lines, self.language, sound.spans_sec if heard else {})),
            self.count_seconds(lines),
            shown_sec if heard else 0.0,
            mp3_data_uri(to_float(sound.pcm), self.sample_rate_hz, BIT_RATE) if heard else "",
            waveform_svg_path(sound.pcm) if heard and outline else "",
            sound.errors,
            shortened=not sound.complete,
        )

    def link(self, lines: Sequence[BookLine], url: str, starts_sec: Mapping[str, float]) -> Reading:
        """The lines with the sound at `url`, in which each chunk begins at `starts_sec`; without sound if none does."""
        spans = {
            line.row.chunk_id: (start, start + line.speech.sample_count / self.sample_rate_hz)
            for line in lines
            if line.speech is not None
            and line.speech.spoken
            and (start := starts_sec.get(line.row.chunk_id)) is not None
        }
        seconds = self.count_seconds(lines)
        return Reading(list(make_paragraphs(lines, self.language, spans)), seconds, seconds, url if spans else "")

    def show(self, lines: Sequence[BookLine]) -> Reading:
        """The lines without sound."""
        return Reading(list(make_paragraphs(lines, self.language, {})), self.count_seconds(lines))

    def embed_exceptions(self, lines: Sequence[BookLine], budget_sec: float) -> list[ExceptionCard]:
        """Each exception with its own sound, all together at most `budget_sec`."""
        lengths = [self.count_seconds([line]) for line in lines if line.speech is not None and line.speech.spoken]
        limit_sec = compute_clip_limit_sec(lengths, budget_sec)
        return [ExceptionCard(line, self.embed([line], limit_sec, outline=True)) for line in lines]

    def count_seconds(self, lines: Iterable[BookLine]) -> float:
        """The speech of the lines, without pauses."""
        counts = [line.speech.sample_count for line in lines if line.speech is not None and line.speech.spoken]
        return sum(counts) / self.sample_rate_hz if counts else 0.0
