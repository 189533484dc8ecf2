"""A chapter's audio before the limiter: its chunks one after another, with the pauses of the settings.

All lengths are counted in samples, so that positions are sums of integers and do not drift.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from voice_core.audio.pcm import resample, to_float
from voice_core.audiobook.mastering.chapter_source import ChapterSource, SpokenChunk
from voice_core.audiobook.speech_files import read_speech
from voice_core.layout import BookKey
from voice_core.settings import AudiobookSettings
from voice_core.storage.store import Store

Audio = npt.NDArray[np.float64]
"""Mono audio, shape [samples], full scale ±1."""

FRAME = 1024
"""Samples in a frame of AAC. A chapter is a whole number of frames, so that chapters can be joined without encoding."""
_EDGE = 2 * FRAME
"""The least silence at both ends of a chapter: a frame of AAC overlaps the frame before it."""
_AAC_RATES_HZ = (8_000, 11_025, 12_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000, 64_000, 88_200, 96_000)
_SILENCE = 10 ** (-60 / 20)  # amplitude
_MARGIN_SEC = 0.015  # what is kept before and after the first and the last sample above silence
_FADE_SEC = 0.005
_BLOCK = 1 << 16


@dataclass(frozen=True, slots=True)
class ChunkSpan:
    """Where a chunk is in its chapter, in samples. `lead` samples of silence were cut from the chunk's beginning."""

    start: int
    count: int
    lead: int

    @property
    def end(self) -> int:
        return self.start + self.count


def master_rate(speech_rate_hz: int) -> int:
    """The rate of the audiobook: that of the speech, or the next higher one that AAC has.

    >>> master_rate(24_000), master_rate(20_000), master_rate(192_000)
    (24000, 22050, 96000)
    """
    return next((rate for rate in _AAC_RATES_HZ if rate >= speech_rate_hz), _AAC_RATES_HZ[-1])


def pause_samples(chunk: SpokenChunk, settings: AudiobookSettings, rate_hz: int) -> int:
    """The silence after a chunk inside a chapter."""
    pauses = {
        "clause": settings.pause_clause_sec,
        "sentence": settings.pause_sentence_sec,
        "paragraph": settings.pause_paragraph_sec,
        "scene": settings.pause_scene_sec,
        "heading": settings.pause_heading_sec,
        "chapter": settings.pause_scene_sec,  # only where the chapter's last chunks have no speech
    }
    return round(pauses[chunk.pause] * rate_hz)


@dataclass(slots=True)
class ChapterAssembly:
    """Assembles a chapter in blocks. `spans` and `sample_count` are complete when `blocks` is exhausted."""

    store: Store
    book: BookKey
    chapter: ChapterSource
    gains_db: Mapping[str, float]
    speech_rate_hz: int
    settings: AudiobookSettings
    spans: list[ChunkSpan] = field(default_factory=list)
    sample_count: int = 0

    @property
    def rate_hz(self) -> int:
        return master_rate(self.speech_rate_hz)

    def blocks(self) -> Iterator[Audio]:
        """Raises ValueError for speech that is missing or is not what was committed, and for a voice without a gain."""
        settings, rate = self.settings, self.rate_hz
        yield from self._silence(max(_EDGE, round(settings.chapter_head_sec * rate)))
        last = self.chapter.spoken[-1]
        for chunk in self.chapter.spoken:
            audio, lead = self._speech(chunk)
            self.spans.append(ChunkSpan(self.sample_count, len(audio), lead))
            self.sample_count += len(audio)
            yield audio
            if chunk is not last:
                yield from self._silence(pause_samples(chunk, settings, rate))
        yield from self._silence(max(_EDGE, round(settings.chapter_tail_sec * rate)))
        yield from self._silence(-self.sample_count % FRAME)

    def _silence(self, count: int) -> Iterator[Audio]:
        self.sample_count += count
        for start in range(0, count, _BLOCK):
            yield np.zeros(min(_BLOCK, count - start))

    def _speech(self, chunk: SpokenChunk) -> tuple[Audio, int]:
        """The chunk at its voice's gain, without the silence around it, and the number of samples cut before it."""
        voice = chunk.audio.voice
        if voice not in self.gains_db:
            raise ValueError(f"the manifest of the speech of {self.book} has no gain of the voice {voice!r}")
        pcm = read_speech(self.store, self.book, chunk.audio, self.speech_rate_hz)
        at_rate = resample(to_float(pcm), self.speech_rate_hz, self.rate_hz)
        audio = at_rate.astype(np.float64) * 10 ** (self.gains_db[voice] / 20)
        first, end = find_speech(audio, self.rate_hz)
        return fade_edges(audio[first:end], self.rate_hz), first


def find_speech(audio: Audio, rate_hz: int) -> tuple[int, int]:
    """Begin and end of the audio without the silence around it; all of it where nothing is above −60 dBFS.

    >>> find_speech(np.concatenate([np.zeros(500), np.ones(100), np.zeros(500)]), 8_000)
    (380, 720)
    """
    loud = np.flatnonzero(np.abs(audio) > _SILENCE)
    if not len(loud):
        return 0, len(audio)
    margin = round(_MARGIN_SEC * rate_hz)
    return max(0, int(loud[0]) - margin), min(len(audio), int(loud[-1]) + 1 + margin)


def fade_edges(audio: Audio, rate_hz: int) -> Audio:
    """The audio with a short linear fade at each edge that is not silent: a step there would click."""
    length = min(round(_FADE_SEC * rate_hz), len(audio) // 2)
    if not length:
        return audio
    ramp = np.arange(1, length + 1) / (length + 1)
    faded = audio.copy()
    if abs(audio[0]) > _SILENCE:
        faded[:length] *= ramp
    if abs(audio[-1]) > _SILENCE:
        faded[-length:] *= ramp[::-1]
    return faded
