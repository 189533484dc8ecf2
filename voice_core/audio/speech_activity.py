"""Detect speech in audio by its level."""

import numpy as np
import numpy.typing as npt

_BELOW_LOUD_DB = 35.0
_SILENCE = 10 ** (-60.0 / 20)  # amplitude; a frame below it is never speech


def detect_speech_frames(audio: npt.NDArray[np.floating], sample_rate_hz: int) -> npt.NDArray[np.bool_]:
    """Which 20 ms frames hold speech, shape [frames]; the last frame may be shorter. Audio at full scale ±1.

    Speech is above −60 dBFS, and at most 35 dB below the mean power of the louder half of the frames above −60 dBFS.
    """
    size = max(1, sample_rate_hz // 50)
    if not len(audio):
        return np.zeros(0, np.bool_)
    starts = np.arange(0, len(audio), size)
    sizes = np.diff(np.append(starts, len(audio)))
    power = np.add.reduceat(np.square(audio, dtype=np.float64), starts) / sizes
    audible = np.sort(power[power > _SILENCE**2])
    if not len(audible):
        return np.zeros(len(starts), np.bool_)
    loud = float(audible[len(audible) // 2 :].mean())
    return power > max(_SILENCE**2, loud * 10 ** (-_BELOW_LOUD_DB / 10))
