"""Fades at both ends of a segment. Their length is the setting `cut.fade_sec` (`CutSettings.fade_sec`)."""

import numpy as np

from voice_core.audio.pcm import Pcm16
from voice_core.settings import CutSettings


def apply_fades(pcm: Pcm16, settings: CutSettings) -> Pcm16:
    """Apply linear fades to both ends, in place; each takes at most half of the audio.

    >>> apply_fades(np.full(160, 100, np.int16), CutSettings(fade_sec=2 / 8_000, sample_rate_hz=8_000))[:4].tolist()
    [33, 67, 100, 100]
    """
    length = min(round(settings.fade_sec * settings.sample_rate_hz), len(pcm) // 2)
    if length:
        ramp = np.arange(1, length + 1, dtype=np.float32) / (length + 1)
        pcm[:length] = np.rint(pcm[:length] * ramp)
        pcm[-length:] = np.rint(pcm[-length:] * ramp[::-1])
    return pcm
