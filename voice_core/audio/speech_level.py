"""The level of speech: RMS over its speech frames, without the silence around and within it."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from voice_core.audio.pcm import resample
from voice_core.audio.speech_activity import detect_speech_frames

SAMPLE_RATE_HZ = 24_000
"""Speech is measured at this rate."""
_FRAME = SAMPLE_RATE_HZ // 50
_SILENCE_PEAK = 1e-4  # amplitude of the loudest sample, at whatever level an engine speaks


class NoSpeechError(ValueError):
    """The audio is not speech: it is empty, silent or not finite."""


@dataclass(frozen=True, slots=True)
class SpeechPower:
    """The sum of squares (full scale ±1) and the number of samples at 24 kHz of the speech in some audio."""

    energy: float
    samples: int


def speech_power(audio: npt.NDArray[np.float32], sample_rate_hz: int) -> SpeechPower:
    """The power of mono speech at any rate and level. Raises `NoSpeechError`."""
    scaled, peak = scale_to_peak(audio, sample_rate_hz)
    speech = scaled[np.repeat(detect_speech_frames(scaled, SAMPLE_RATE_HZ), _FRAME)[: len(scaled)]]
    return SpeechPower(float(np.square(speech).sum()) * peak**2, len(speech))


def measured_level_dbfs(powers: Iterable[SpeechPower]) -> float:
    """RMS over the speech of several utterances, in dB of full scale; may be above 0. Rounded to 0.01 dB, so that the
    last bits of a sum change nothing."""
    powers = list(powers)
    energy, samples = math.fsum(item.energy for item in powers), sum(item.samples for item in powers)
    return round(10 * math.log10(energy / samples), 2)


def scale_to_peak(audio: npt.NDArray[np.float32], sample_rate_hz: int) -> tuple[npt.NDArray[np.float64], float]:
    """Audio at 24 kHz with its loudest sample at ±1, and the amplitude that this sample had.

    An engine may speak at any level, and silence is detected at levels of 16 bits. Raises `NoSpeechError`.
    """
    if audio.ndim != 1 or not len(audio):
        raise NoSpeechError(f"the engine returned audio of shape {audio.shape}, not mono speech")
    if not np.isfinite(audio).all():
        raise NoSpeechError("the engine returned samples that are not finite")
    at_rate = resample(np.asarray(audio, np.float32), sample_rate_hz, SAMPLE_RATE_HZ)
    peak = float(np.abs(at_rate).max())
    if peak <= _SILENCE_PEAK:
        raise NoSpeechError("the engine returned silence")
    return at_rate.astype(np.float64) / peak, peak
