"""Where speech is in audio, by its level."""

import numpy as np
import numpy.typing as npt

_BELOW_LOUD_DB = 35.0
_SILENCE = 10 ** (-60.0 / 20)  # in amplitude; no frame below is speech, however quiet the rest


def detect_speech_frames(audio: npt.NDArray[np.floating], sample_rate_hz: int) -> npt.NDArray[np.bool_]:
    """Which 20 ms frames hold speech, shape [frames]; the last frame may be shorter. Audio at full scale ±1.

    Speech is above −60 dBFS and no more than 35 dB below the loud half of what is.
    """
    size = max(1, sample_rate_hz // 50)
    if not len(audio):
        return np.zeros(0, np.bool_)
    starts = np.arange(0, len(audio), size)
    sizes = np.diff(np.append(starts, len(audio)))
    power = np.add.reduceat(np.square(audio, dtype=np.float64), starts) / sizes
    heard = np.sort(power[power > _SILENCE**2])
    if not len(heard):
        return np.zeros(len(starts), np.bool_)
    loud = float(heard[len(heard) // 2 :].mean())
    return power > max(_SILENCE**2, loud * 10 ** (-_BELOW_LOUD_DB / 10))
