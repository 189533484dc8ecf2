"""Words that are spoken twice in a row: stretches of speech that resemble what follows them. Pure."""

from dataclasses import dataclass
from typing import Any, Final

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
_FRAMES_AT_ONCE, _LAGS_AT_ONCE = 128, 48  # so that the tables of some seconds stay in a core's cache
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
    lags = np.arange(round(_SHORTEST_SEC / _HOP_SEC), min(round(_LONGEST_SEC / _HOP_SEC), len(mel) // 2) + 1)
    best = Repeat()
    for first in range(0, len(lags), _LAGS_AT_ONCE):
        some = lags[first : first + _LAGS_AT_ONCE]
        mean = _mean_differences(mel, some)
        at = mean.argmin(axis=0)
        found = np.sqrt(np.maximum(mean[at, np.arange(len(some))], 0.0) / _BANDS)
        least = int(found.argmin())
        difference = round(float(found[least]), 3)
        if difference < best.difference_db:
            start, length = int(at[least]) * hop / rate, int(some[least]) * hop / rate
            best = Repeat(difference, round(start, 3), round(length, 3))
    return best


def _mean_differences(mel: Floats, lags: npt.NDArray[np.intp]) -> npt.NDArray[np.float64]:
    """The mean squared difference of the stretch of a lag's length from each frame on and the stretch after it, shape
    [frames, lags]; infinite where they reach beyond the end or hold too little speech. `lags` are successive."""
    count, width, first = len(mel), len(lags), int(lags[0])
    speech = mel.max(axis=1) > _SPEECH_ABOVE_DB
    squares = np.einsum("ij,ij->i", mel, mel)
    after = slice(first, first + count)
    # Products this small are never shared out to threads, so that their number changes nothing.
    products = np.matmul(mel[:, None, :], _windows(mel, width)[after])[:, 0, :]
    apart = squares[:, None] + _windows(squares, width)[after] - 2 * products
    either = (speech[:, None] | _windows(speech, width)[after]) & (np.arange(count)[:, None] + lags < count)
    apart = np.minimum(apart, _FARTHEST) * either
    stretch = lags - _EDGE_FRAMES  # the frames at the seams hold a part of something else
    total, spoken = _moving_sums(apart, int(stretch[0])), _moving_sums(either, int(stretch[0]))
    enough = spoken >= _LEAST_SPEECH_SEC / _HOP_SEC
    enough &= np.arange(count)[:, None] <= count - lags - stretch
    return np.divide(total, spoken, out=np.full(total.shape, np.inf), where=enough)


def _windows(values: npt.NDArray[Any], width: int) -> npt.NDArray[Any]:
    """A view of `width` successive values from each place on, with zeros after the end, shape [places, ..., width]."""
    padded = np.zeros((2 * len(values) + width, *values.shape[1:]), values.dtype)
    padded[: len(values)] = values
    return np.lib.stride_tricks.sliding_window_view(padded, width, axis=0)


def _moving_sums(values: npt.NDArray[Any], length: int) -> npt.NDArray[np.float64]:
    """The sums of successive values from each row on: of `length` in the first column, one more in each that follows.

    Shape as that of `values`, [rows, columns]. Values after the end count as 0.
    """
    rows, columns = values.shape
    sums = np.zeros((rows + length + columns, columns))
    np.cumsum(values, axis=0, dtype=np.float64, out=sums[1 : rows + 1])
    sums[rows + 1 :] = sums[rows]
    down, right = sums.strides
    ends = np.lib.stride_tricks.as_strided(sums[length:], (rows, columns), (down, down + right), writeable=False)
    return np.asarray(ends - sums[:rows])


def _band_power_db(audio: Floats, rate: float, size: int, hop: int) -> Floats:
    """Mean power in bands of equal width in mel, dB; shape [frames, bands].

    Without a matrix product, whose last bits depend on the number of threads of the BLAS library.
    """
    if len(audio) < size:
        audio = np.pad(audio, (0, size - len(audio)))
    frames = np.lib.stride_tricks.sliding_window_view(audio, size)[::hop]
    highest = float(np.log10(1.0 + rate / 2 / 700.0))
    edges_hz = 700.0 * (10.0 ** np.linspace(0.0, highest, _BANDS + 1)[:-1] - 1.0)
    bins = np.maximum.accumulate(np.maximum(np.round(edges_hz * size / rate).astype(np.intp), np.arange(_BANDS)))
    widths = np.diff(np.append(bins, size // 2 + 1))
    window = np.hanning(size).astype(np.float32)
    parts = []
    for start in range(0, len(frames), _FRAMES_AT_ONCE):
        spectrum = np.fft.rfft(frames[start : start + _FRAMES_AT_ONCE] * window, axis=1)
        sums = np.add.reduceat(np.square(spectrum.real) + np.square(spectrum.imag), bins, axis=1)
        parts.append(10.0 * np.log10(sums / widths + 1e-10))
    return np.concatenate(parts).astype(np.float32)


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
