"""Measures of a segment's audio. Takes a few milliseconds of one core for a minute of audio."""

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from voice_core.audio.pcm import Pcm16, dbfs

MEASURES_VERSION = 1  # part of every segment's fingerprint: increase it when the same audio measures differently

_CLIP_LEVEL = 32_768 * 10 ** (-0.1 / 20)  # within 0.1 dB of full scale
_FRAME_SEC = 0.02
_SILENCE_DBFS = -60.0
_SILENCE_BELOW_SPEECH_DB = 35.0
_NOISE_PERCENTILE = 10  # speech has pauses for a tenth of the time, even between words
_FFT_SIZE = 1024
_MOST_FFTS = 48
_BANDWIDTH_RANGE_DB = 60.0
_LOWEST_POWER = 1e-10  # −100 dBFS: keeps digital silence finite


@dataclass(frozen=True, slots=True)
class Measures:
    """Levels in dBFS, shares from 0 to 1, SNR in dB, bandwidth in Hz, characters per second without spaces."""

    peak_dbfs: float
    rms_dbfs: float
    clipped_share: float
    silence_share: float
    snr_db: float
    bandwidth_hz: float
    chars_per_sec: float


def measure(pcm: Pcm16, sample_rate_hz: int, text: str) -> Measures:
    """Measure a segment. `pcm` has at least one sample.

    - SNR: mean power of the louder half of 20 ms frames over that of the quietest tenth, with a floor of −100 dBFS.
      It needs no model; its purpose is to find noise, not to compare good recordings.
    - Silence: frames below −60 dBFS, or 35 dB below the loud frames.
    - Bandwidth: the highest frequency whose level (95th percentile over time, Hann windows of 1,024 samples) is
      within 60 dB of the strongest one. Upsampled audio has the bandwidth of its original sample rate.
    """
    samples = pcm.astype(np.float32)
    magnitude = np.abs(samples)
    clipped = int(np.count_nonzero(magnitude >= _CLIP_LEVEL)) / len(samples)
    samples /= np.float32(32768.0)
    power = frame_power(samples, sample_rate_hz)
    level_db = 10.0 * np.log10(power)
    ordered = np.sort(power)
    loud = float(ordered[len(ordered) // 2 :].mean())
    noise = float(ordered[: max(1, len(ordered) * _NOISE_PERCENTILE // 100)].mean())
    floor_db = max(_SILENCE_DBFS, 10.0 * np.log10(loud) - _SILENCE_BELOW_SPEECH_DB)
    return Measures(
        peak_dbfs=round(dbfs(float(magnitude.max()) / 32768.0), 2),
        rms_dbfs=round(dbfs(math.sqrt(float(np.dot(samples, samples)) / len(samples))), 2),
        clipped_share=round(clipped, 6),
        silence_share=round(int(np.count_nonzero(level_db < floor_db)) / len(level_db), 4),
        snr_db=round(10.0 * math.log10(max(loud - noise, _LOWEST_POWER) / noise), 2),
        bandwidth_hz=round(bandwidth_hz(samples, sample_rate_hz), 1),
        chars_per_sec=round(speech_characters(text) * sample_rate_hz / len(pcm), 2),
    )


def speech_characters(text: str) -> int:
    """The number of characters without spaces.

    >>> speech_characters(" one two ")
    6
    """
    return len("".join(text.split()))


def frame_power(samples: npt.NDArray[np.float32], sample_rate_hz: int) -> npt.NDArray[np.float32]:
    """Mean power of each complete 20 ms frame, shape [frames] with at least one frame, floor −100 dBFS."""
    size = min(round(_FRAME_SEC * sample_rate_hz), len(samples))
    count = len(samples) // size
    frames = samples[: count * size].reshape(count, size)
    return np.maximum(np.einsum("ij,ij->i", frames, frames) / size, _LOWEST_POWER)


@lru_cache(maxsize=2)
def _window(size: int) -> npt.NDArray[np.float32]:
    return np.hanning(size).astype(np.float32)


def bandwidth_hz(samples: npt.NDArray[np.float32], sample_rate_hz: int) -> float:
    """Effective bandwidth as `measure` defines it; 0 for silence."""
    if len(samples) < _FFT_SIZE:
        samples = np.pad(samples, (0, _FFT_SIZE - len(samples)))
    last = len(samples) - _FFT_SIZE
    starts = np.linspace(0, last, num=min(_MOST_FFTS, last // (_FFT_SIZE // 2) + 1)).astype(int)
    frames = np.lib.stride_tricks.sliding_window_view(samples, _FFT_SIZE)[starts]
    spectrum = np.fft.rfft(frames * _window(_FFT_SIZE), axis=1)
    power = np.sort(np.square(spectrum.real) + np.square(spectrum.imag), axis=0)
    loud = power[round(0.95 * (len(power) - 1))]
    strongest = float(loud.max())
    if strongest < 1e-8:
        return 0.0
    present = np.nonzero(loud >= strongest * 10 ** (-_BANDWIDTH_RANGE_DB / 10))[0]
    return float(present[-1] * sample_rate_hz / _FFT_SIZE)
