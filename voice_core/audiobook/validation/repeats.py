"""Words that are spoken twice in a row: stretches of speech that resemble what follows them. Pure."""

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from voice_core.recognition.recognisers import normalize_words

_RATE_HZ: Final = 12_000
_HOP_SEC, _WINDOW_SEC = 0.0125, 0.043
_BANDS: Final = 20
_FLOOR_BELOW_DB: Final = 45.0  # below the loudest band: what is softer is silence
_SPEECH_ABOVE_DB: Final = 12.0  # above that
_SHORTEST_SEC, _LONGEST_SEC = 0.2, 2.5
_LEAST_SPEECH_SEC: Final = 0.15
_EDGE_FRAMES: Final = 3
_FARTHEST: Final = np.float32(_BANDS * 10.0**2)  # a frame that differs by more than 10 dB counts as one by 10
_LONGEST_WORDS = 8
NO_REPEAT_DB: Final = 99.0

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Repeat:
    """The two stretches in a row that differ least: RMS difference of their mel spectra, start of the first, length."""

    difference_db: float = NO_REPEAT_DB
    start_sec: float = 0.0
    length_sec: float = 0.0


def find_repeat(audio: Floats, sample_rate_hz: int) -> Repeat:
    """The most similar stretches in a row, of 0.2 to 2.5 s."""
    step = max(1, sample_rate_hz // _RATE_HZ)  # what this folds down is alike in both stretches, too
    audio, rate = audio[::step], sample_rate_hz / step
    hop, size = round(_HOP_SEC * rate), 1 << round(np.log2(_WINDOW_SEC * rate))
    mel = _band_power_db(audio, rate, size, hop)
    mel = np.maximum(mel - mel.max() + np.float32(_FLOOR_BELOW_DB), np.float32(0.0))
    speech = mel.max(axis=1) > _SPEECH_ABOVE_DB
    squares = np.einsum("ij,ij->i", mel, mel)
    best = Repeat()
    for lag in range(round(_SHORTEST_SEC / _HOP_SEC), min(round(_LONGEST_SEC / _HOP_SEC), len(mel) // 2) + 1):
        either = speech[lag:] | speech[:-lag]
        apart = squares[lag:] + squares[:-lag] - 2 * np.einsum("ij,ij->i", mel[lag:], mel[:-lag])
        sums = np.zeros((2, len(apart) + 1))
        np.cumsum(np.minimum(apart, _FARTHEST) * either, out=sums[0, 1:])
        np.cumsum(either, out=sums[1, 1:])
        length = lag - _EDGE_FRAMES  # the frames at the seams hold a part of something else
        total, spoken = sums[:, length:] - sums[:, :-length]
        mean = np.where(spoken >= _LEAST_SPEECH_SEC / _HOP_SEC, total / np.maximum(spoken, 1.0), np.inf)
        at = int(np.argmin(mean))
        found = float(np.sqrt(max(0.0, mean[at]) / _BANDS))
        if found < best.difference_db:
            best = Repeat(round(found, 3), round(at * hop / rate, 3), round(lag * hop / rate, 3))
    return best


def _band_power_db(audio: Floats, rate: float, size: int, hop: int) -> Floats:
    """Mean power in bands of equal width in mel, dB; shape [frames, bands].

    Without a matrix product, whose last bits depend on the number of threads of the BLAS library.
    """
    if len(audio) < size:
        audio = np.pad(audio, (0, size - len(audio)))
    frames = np.lib.stride_tricks.sliding_window_view(audio, size)[::hop]
    spectrum = np.fft.rfft(frames * np.hanning(size).astype(np.float32), axis=1)
    power = np.square(spectrum.real) + np.square(spectrum.imag)
    highest = float(np.log10(1.0 + rate / 2 / 700.0))
    edges_hz = 700.0 * (10.0 ** np.linspace(0.0, highest, _BANDS + 1)[:-1] - 1.0)
    bins = np.maximum.accumulate(np.maximum(np.round(edges_hz * size / rate).astype(np.intp), np.arange(_BANDS)))
    sums = np.add.reduceat(power, bins, axis=1)
    widths = np.diff(np.append(bins, power.shape[1]))
    return np.asarray(10.0 * np.log10(sums / widths + 1e-10), np.float32)


def repeats_itself(text: str, language: str) -> bool:
    """Whether a text has the same words twice in a row, so that its speech may.

    >>> repeats_itself("No, no!", "en"), repeats_itself("on and on and on", "en"), repeats_itself("No, not now.", "en")
    (True, True, False)
    """
    words = normalize_words(text, language)
    return any(
        words[at : at + size] == words[at + size : at + 2 * size]
        for size in range(1, min(_LONGEST_WORDS, len(words) // 2) + 1)
        for at in range(len(words) - 2 * size + 1)
    )
