"""Where audio is speech, and the level of the speech: RMS over its frames, without the silence around and within it."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from voice_core.audio.pcm import resample

SAMPLE_RATE_HZ = 24_000
"""Speech is measured at this rate."""
_FRAME = SAMPLE_RATE_HZ // 50
_BELOW_LOUD_DB = 35.0
_INAUDIBLE = 10 ** (-60.0 / 20)  # amplitude; a frame below it is never speech
_SILENCE_PEAK = 1e-4  # amplitude of the loudest sample, at whatever level an engine speaks


class NoSpeechError(ValueError):
    """The audio is not speech: it is empty, silent or not finite."""


@dataclass(frozen=True, slots=True)
class SpeechPower:
    """The sum of squares (full scale ±1) and the number of samples at 24 kHz of the speech in some audio."""

    energy: float
    samples: int


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
    audible = np.sort(power[power > _INAUDIBLE**2])
    if not len(audible):
        return np.zeros(len(starts), np.bool_)
    loud = float(audible[len(audible) // 2 :].mean())
    return power > max(_INAUDIBLE**2, loud * 10 ** (-_BELOW_LOUD_DB / 10))


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
