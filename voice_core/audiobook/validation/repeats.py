"""Words that are spoken twice in a row: stretches of speech that resemble what follows them. Pure."""

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from voice_core.audio.mel import mel_power_db
from voice_core.recognition.recognisers import normalize_words

_HOP_SEC: Final = 0.0125
_BANDS: Final = 20
_FLOOR_BELOW_DB: Final = 45.0  # below the loudest band: what is softer is silence
_SHORTEST_SEC, _LONGEST_SEC = 0.2, 2.5
_SPEECH_SHARE: Final = 0.5  # of a stretch
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
    hop = max(1, round(_HOP_SEC * sample_rate_hz))
    size = 1 << round(np.log2(0.043 * sample_rate_hz))
    mel = mel_power_db(audio, sample_rate_hz, fft_size=size, hop=hop, bands=_BANDS)
    mel = np.maximum(mel, mel.max() - _FLOOR_BELOW_DB)
    mel -= mel.min()
    speech = (mel.max(axis=1) > _FLOOR_BELOW_DB * 0.4).astype(np.float32)
    squares = np.einsum("ij,ij->i", mel, mel)
    spoken = np.concatenate([[0.0], np.cumsum(speech)])
    best = Repeat()
    for lag in range(round(_SHORTEST_SEC / _HOP_SEC), min(round(_LONGEST_SEC / _HOP_SEC), len(mel) // 2) + 1):
        apart = squares[lag:] + squares[:-lag] - 2 * np.einsum("ij,ij->i", mel[lag:], mel[:-lag])
        total = np.concatenate([[0.0], np.cumsum(np.minimum(apart, _FARTHEST), dtype=np.float64)])
        length = lag - _EDGE_FRAMES  # the frames at the seams hold a part of something else
        mean = (total[length:] - total[:-length]) / (length * _BANDS)
        enough = (spoken[length : length + len(mean)] - spoken[: len(mean)]) >= _SPEECH_SHARE * length
        mean[~enough] = NO_REPEAT_DB**2
        at = int(np.argmin(mean)) if len(mean) else 0
        if len(mean) and mean[at] < best.difference_db**2:
            found = float(np.sqrt(max(0.0, mean[at])))
            best = Repeat(round(found, 3), round(at * hop / sample_rate_hz, 3), round(lag * hop / sample_rate_hz, 3))
    return best


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
