"""Faults of speech synthesis, planted at random places: into good speech, or into the words that are spoken."""

from collections.abc import Callable, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from voice_core.audio.pcm import Pcm16, to_pcm16
from voice_core.audiobook.validation.repeats import repeats_itself

_FRAME: Final = 240  # 10 ms at 24 kHz
_SPEECH_SHARE: Final = 0.5  # of a stretch: silence that is silenced or repeated is no fault
_TRIES: Final = 50
_MARGIN: Final = 4_800

Random = np.random.Generator


def _speech(pcm: Pcm16) -> npt.NDArray[np.bool_]:
    """Which frames of 10 ms are within 30 dB of the loudest one."""
    frames = pcm[: len(pcm) // _FRAME * _FRAME].astype(np.float64).reshape(-1, _FRAME)
    power = np.square(frames).mean(axis=1)
    return np.asarray(power > power.max() / 1_000)


def _stretch(pcm: Pcm16, rng: Random, shortest_sec: float, longest_sec: float) -> slice | None:
    """A random stretch inside the speech, of which at least half is speech; None where there is none."""
    speech = _speech(pcm)
    spoken = np.flatnonzero(speech) * _FRAME
    for _ in range(_TRIES):
        length = int(rng.uniform(shortest_sec, longest_sec) * 24_000)
        first, last = spoken[0], spoken[-1] - length - _MARGIN
        if last <= first:
            continue
        start = int(rng.integers(first, last))
        if speech[start // _FRAME : (start + length) // _FRAME].mean() >= _SPEECH_SHARE:
            return slice(start, start + length)
    return None


def _silenced(pcm: Pcm16, text: str, rng: Random) -> Pcm16 | None:
    """0.15 to 1 s of the speech are silent."""
    where = _stretch(pcm, rng, 0.15, 1.0)
    if where is None:
        return None
    made = pcm.copy()
    made[where] = 0
    return made


def _cut_end(pcm: Pcm16, text: str, rng: Random) -> Pcm16 | None:
    """The speech begins 0.08 to 0.6 s too late, or ends so much too early."""
    spoken = np.flatnonzero(_speech(pcm)) * _FRAME
    length = int(rng.uniform(0.08, 0.6) * 24_000)
    first, last = int(spoken[0]), int(spoken[-1]) + _FRAME
    if last - first < length + _MARGIN:
        return None
    return pcm[: last - length] if rng.random() < 0.5 else pcm[first + length :]


def _repeated(pcm: Pcm16, text: str, rng: Random) -> Pcm16 | None:
    """0.25 to 1.5 s are spoken twice in a row. None for a text that repeats itself."""
    where = None if repeats_itself(text, "en") else _stretch(pcm, rng, 0.25, 1.5)
    return None if where is None else np.concatenate([pcm[: where.stop], pcm[where.start :]])


def _clipped(pcm: Pcm16, text: str, rng: Random) -> Pcm16:
    """The peaks are cut at 30 to 70 % of the largest one, at any level."""
    peak = float(np.abs(pcm.astype(np.int32)).max())
    limit = peak * rng.uniform(0.3, 0.7)
    return to_pcm16(np.clip(pcm, -limit, limit) / 32_768 * rng.uniform(1.0, 32_000 / limit))


FAULTS: Final[dict[str, Callable[[Pcm16, str, Random], Pcm16 | None]]] = {
    "silenced": _silenced,
    "cut end": _cut_end,
    "repeated": _repeated,
    "clipped": _clipped,
}
"""By name: 24 kHz speech of a text → the same with a fault, or None where it is too short for one."""


def plant(fault: str, pcm: Pcm16, text: str, rng: Random) -> Pcm16 | None:
    return FAULTS[fault](pcm, text, rng)


WORD_FAULTS: Final = ("dropped", "replaced", "inserted")


def plant_word(fault: str, text: str, others: Sequence[str], rng: Random) -> str:
    """A text with a word less, another one in the place of one, or one more, of `others`."""
    words = text.split()
    at, other = int(rng.integers(len(words))), str(rng.choice(others))
    new = [] if fault == "dropped" else [other]
    return " ".join([*words[:at], *new, *words[at + (fault != "inserted") :]])
