"""Word times: what an aligner returns, and what its times must satisfy."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from voice_core.audio.pcm import Pcm16, to_float
from voice_core.audio.speech_level import detect_speech_frames

_ROUNDING_SEC = 1e-4  # times are written to 0.1 ms


class AlignmentError(ValueError):
    """No word times could be found, or the times found are impossible."""


@dataclass(frozen=True, slots=True)
class Word:
    """A spoken word and its time, in seconds from the beginning of its utterance."""

    text: str
    start_sec: float
    end_sec: float


@dataclass(frozen=True, slots=True)
class Alignment:
    """The words of an utterance as its script spells them. `approximate`: spread by length, not found in the audio."""

    words: tuple[Word, ...]
    approximate: bool = False


class Aligner(Protocol):
    """Finds the times of the words of a text in its speech. Equal input gives equal times, whatever was aligned before.

    Pickled by name: another process loads its own, once.
    """

    @property
    def name(self) -> str: ...
    @property
    def revision(self) -> str:
        """Changes whenever other times would be found."""
        ...

    def align(self, pcm: Pcm16, sample_rate_hz: int, text: str, language: str) -> Alignment:
        """Raises `AlignmentError`."""
        ...


def validate_word_times(
    words: Sequence[Word], texts: Sequence[str], pcm: Pcm16, sample_rate_hz: int
) -> tuple[Word, ...]:
    """The words with their times clipped to the speech, rounded to 0.1 ms.

    Raises `AlignmentError` unless they are the words of `texts`, one after the other, each of positive length and with
    some speech in it.
    """
    if [word.text for word in words] != list(texts):
        found = "1 word was" if len(words) == 1 else f"{len(words)} words were"
        raise AlignmentError(f"{found} found, the text has {len(texts)}")
    spoken = detect_speech_frames(to_float(pcm), sample_rate_hz)
    frames = np.flatnonzero(spoken)
    if not len(frames):
        raise AlignmentError("there is no speech")
    size = max(1, sample_rate_hz // 50) / sample_rate_hz
    first, last = frames[0] * size, min((frames[-1] + 1) * size, len(pcm) / sample_rate_hz)
    result: list[Word] = []
    before = 0.0
    for word in words:
        start, end = _rounded(max(word.start_sec, first)), _rounded(min(word.end_sec, last))
        where = f"{word.text!r} ({word.start_sec:.3f} to {word.end_sec:.3f} s)"
        if not start < end:
            raise AlignmentError(f"{where} is outside of the speech, {first:.2f} to {last:.2f} s")
        if start < before:
            raise AlignmentError(f"{where} begins before the previous word ends")
        if not spoken[int(start / size) : math.ceil(end / size)].any():
            raise AlignmentError(f"{where} is in silence")
        result.append(Word(word.text, start, end))
        before = end
    return tuple(result)


def _rounded(seconds: float) -> float:
    """Down, so that what ends within the audio still does."""
    return math.floor(seconds / _ROUNDING_SEC + 1e-6) / round(1 / _ROUNDING_SEC)
