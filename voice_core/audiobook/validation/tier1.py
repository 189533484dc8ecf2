"""Tier 1: what can be heard without a recogniser. Length, silence, level, clipping, cut ends, repeats. Pure."""

import re
from dataclasses import asdict, dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from voice_core.audio.pcm import Pcm16, dbfs, to_float
from voice_core.audiobook.validation.config import Tier1Limits
from voice_core.audiobook.validation.repeats import find_repeat, repeats_itself
from voice_core.language import primary_subtag

VERSION = 1
LETTERS_PER_SEC: Final = {"en": 15.3, "ar": 11.0, "zh": 4.5, "ja": 7.5, "ko": 7.0, "th": 12.0}
"""Letters of speech per second, without pauses, by language; 14 for others."""
_OTHER_LETTERS_PER_SEC = 14.0
_DIGIT_LETTERS = 4.0  # letters that a digit is spoken as
_MARK_SEC, _BASE_SEC = 0.23, 0.15  # a pause at punctuation; what any speech takes
_INNER_MARKS = re.compile(r"[.,;:!?…،؛؟。、！？—–)(\"“”«»]+|-{2,}| - ")
_FRAME_SEC = 0.005
_SILENT_BELOW_DB = 40.0  # below the level of the speech
_INAUDIBLE_DB = -65.0  # dBFS
_FLAT_SEC = 0.000125  # 3 samples at 24 kHz
_FLAT_LEAST = 1_000  # of 32,767: the peaks of softer audio are flat by rounding
_FLAT_ABOVE = 0.98  # of the largest sample
_ABRUPT_DB = 42.0  # within 5 ms; speech falls by 40 at most
_NOTED_GAP_SEC = 0.1

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Measures:
    """What was measured of a take; levels in dBFS.

    `pace` is the expected length of the speech by its length: 1 is the usual pace, 2 twice as fast. `gaps_sec` are the
    silences inside the speech, longest first, and `marks` the pauses that the punctuation allows. `hole_ms` is the
    longest silence with an abrupt beginning or end. `edge_db` is the level of the louder end against that of the
    speech. `repeat_db` is the difference between the two most similar stretches in a row, 99 for none, and
    `repeat_sec` where the first begins and its length.
    """

    duration_sec: float
    speech_sec: float
    expected_sec: float
    pace: float
    level_dbfs: float
    peak_dbfs: float
    head_sec: float
    tail_sec: float
    gaps_sec: tuple[float, ...]
    marks: int
    hole_ms: float
    clipped_share: float
    edge_db: float
    repeat_db: float
    repeat_sec: tuple[float, float]
    text_repeats: bool

    def as_dict(self) -> dict[str, object]:
        return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()}


def has_speech(pcm: Pcm16, sample_rate_hz: int) -> bool:
    """Whether anything in the audio is loud enough to be heard."""
    return bool((_frame_db(to_float(pcm), sample_rate_hz) > _INAUDIBLE_DB).any())


def expected_sec(text: str, language: str) -> tuple[float, int]:
    """The usual length of the speech of a text, without silence around it, and how many pauses its punctuation allows.

    >>> expected_sec("It was a dark night.", "en"), expected_sec("Well, go on.", "en")
    ((1.1304, 0), (0.9029, 1))
    """
    letters = sum(_DIGIT_LETTERS if char.isdigit() else 1.0 for char in text if char.isalnum())
    marks = sum(1 for mark in _INNER_MARKS.finditer(text) if _is_inner(text, mark))
    rate = LETTERS_PER_SEC.get(primary_subtag(language) or "en", _OTHER_LETTERS_PER_SEC)
    return round(_BASE_SEC + letters / rate + marks * _MARK_SEC, 4), marks


def _is_inner(text: str, mark: re.Match[str]) -> bool:
    before, after = text[: mark.start()], text[mark.end() :]
    return any(map(str.isalnum, before)) and any(map(str.isalnum, after))


def _frame_db(audio: Floats, sample_rate_hz: int) -> npt.NDArray[np.float64]:
    """The level of each frame of 5 ms, dBFS, shape [frames], at least one; the last may be shorter."""
    size = max(1, round(_FRAME_SEC * sample_rate_hz))
    starts = np.arange(0, max(1, len(audio)), size)
    padded = audio if len(audio) else np.zeros(1, np.float32)
    power = np.add.reduceat(np.square(padded, dtype=np.float64), starts) / np.diff(np.append(starts, len(padded)))
    return np.asarray(10.0 * np.log10(power + 1e-12), np.float64)


def _runs(mask: npt.NDArray[np.bool_]) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """Where runs of true values begin, and where they end."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], mask, [False]])))
    return edges[::2], edges[1::2]


def _clipped_share(pcm: Pcm16, sample_rate_hz: int) -> float:
    """The share of samples in flat peaks: equal samples in a row, for 0.125 ms or more, at the largest level."""
    size = np.abs(pcm.astype(np.int32))
    peak = int(size.max())
    if peak < _FLAT_LEAST:
        return 0.0
    starts, ends = _runs((np.diff(pcm.astype(np.int32)) == 0) & (size[1:] > _FLAT_ABOVE * peak))
    lengths = ends - starts + 1
    return float(lengths[lengths >= max(3, round(_FLAT_SEC * sample_rate_hz))].sum() / len(pcm))


def _hole_ms(db: npt.NDArray[np.float64], speech: npt.NDArray[np.bool_], first: int, last: int) -> float:
    """The longest silence inside the speech that begins or ends within 5 ms, milliseconds."""
    starts, ends = _runs(~speech[first:last])
    steps = np.abs(np.diff(db[first:last]))
    longest = 0
    for start, end in zip(starts, ends, strict=True):
        if max(steps[start - 1 : start + 1].max(), steps[end - 2 : end].max()) >= _ABRUPT_DB:
            longest = max(longest, end - start)
    return longest * _FRAME_SEC * 1000


def measure(pcm: Pcm16, sample_rate_hz: int, text: str, language: str) -> Measures:
    """Measure the speech of a text. Raises ValueError for audio without anything audible."""
    audio = to_float(pcm)
    db = _frame_db(audio, sample_rate_hz)
    audible = np.sort(db[db > _INAUDIBLE_DB])
    if not len(audible):
        raise ValueError("there is no speech to measure")
    level = float(10 * np.log10(np.mean(10 ** (audible[len(audible) // 2 :] / 10))))
    speech = db > max(_INAUDIBLE_DB, level - _SILENT_BELOW_DB)
    spoken = np.flatnonzero(speech)
    first, last = int(spoken[0]), int(spoken[-1]) + 1
    starts, ends = _runs(~speech[first:last])
    gaps = np.sort((ends - starts) * _FRAME_SEC)[::-1]
    usual, marks = expected_sec(text, language)
    length = (last - first) * _FRAME_SEC
    repeat = find_repeat(audio, sample_rate_hz)
    return Measures(
        duration_sec=round(len(pcm) / sample_rate_hz, 4),
        speech_sec=round(length, 4),
        expected_sec=usual,
        pace=round(usual / length, 4),
        level_dbfs=round(level, 2),
        peak_dbfs=round(dbfs(float(np.abs(audio).max())), 2),
        head_sec=round(first * _FRAME_SEC, 4),
        tail_sec=round((len(db) - last) * _FRAME_SEC, 4),
        gaps_sec=tuple(round(float(gap), 4) for gap in gaps[gaps >= _NOTED_GAP_SEC]),
        marks=marks,
        hole_ms=round(_hole_ms(db, speech, first, last), 1),
        clipped_share=round(_clipped_share(pcm, sample_rate_hz), 7),
        edge_db=round(float(max(db[0], db[-1])) - level, 1),
        repeat_db=repeat.difference_db,
        repeat_sec=(repeat.start_sec, repeat.length_sec),
        text_repeats=repeats_itself(text, language),
    )


def judge(found: Measures, limits: Tier1Limits) -> list[tuple[str, str]]:
    """The tests that a take fails, each with a message."""
    failures: list[tuple[str, str]] = []
    over = found.speech_sec - found.expected_sec
    if found.pace > limits.fastest_pace and -over > limits.slack_sec:
        failures.append(
            ("too_short", f"{found.speech_sec:.2f} s of speech for about {found.expected_sec:.2f} s of text")
        )
    if found.pace < limits.slowest_pace and over > limits.slack_sec:
        failures.append(
            ("too_long", f"{found.speech_sec:.2f} s of speech for about {found.expected_sec:.2f} s of text")
        )
    gap = found.gaps_sec[0] if found.gaps_sec else 0.0
    long_gaps = sum(item > limits.gap_sec for item in found.gaps_sec)
    if gap > limits.pause_sec or long_gaps > found.marks:
        failures.append(("silence", f"{gap:.2f} s of silence inside the speech"))
    elif found.hole_ms >= limits.hole_ms:
        failures.append(("silence", f"the speech breaks off abruptly for {found.hole_ms:.0f} ms"))
    outer = max(found.head_sec, found.tail_sec)
    if outer > limits.outer_silence_sec:
        where = "beginning" if found.head_sec >= found.tail_sec else "end"
        failures.append(("outer_silence", f"{outer:.2f} s of silence at the {where}"))
    if found.clipped_share > limits.clipped_share:
        failures.append(("clipping", f"{found.clipped_share:.3%} of the samples are clipped"))
    if not limits.softest_dbfs <= found.level_dbfs <= limits.loudest_dbfs:
        failures.append(("level", f"the level of the speech is {found.level_dbfs:.1f} dBFS"))
    if found.edge_db > -limits.edge_below_db or min(found.head_sec, found.tail_sec) < limits.edge_silence_sec:
        where = "beginning" if found.head_sec < found.tail_sec else "end"
        failures.append(("cut_end", f"the speech is cut off at the {where}"))
    if found.repeat_db < limits.repeat_db and not found.text_repeats:
        start, length = found.repeat_sec
        failures.append(("repeat", f"the {length:.2f} s from {start:.2f} s on are spoken twice"))
    return failures
