"""Mel spectra: the input of MelVQ, and the measure of a codec's round trip."""

from functools import lru_cache

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]


@lru_cache(maxsize=8)
def mel_filters(sample_rate_hz: int, fft_size: int, bands: int) -> Floats:
    """Triangular filters of peak 1 from 0 Hz to Nyquist, shape [bands, fft_size // 2 + 1].

    Evenly spaced on O'Shaughnessy's mel scale, 2595 log10(1 + f / 700).
    """
    highest = float(2595.0 * np.log10(1.0 + sample_rate_hz / 2 / 700.0))
    edges = 700.0 * (10.0 ** (np.linspace(0.0, highest, bands + 2) / 2595.0) - 1.0)
    bins = np.arange(fft_size // 2 + 1) * sample_rate_hz / fft_size
    low, centre, high = edges[:-2, None], edges[1:-1, None], edges[2:, None]
    rising, falling = (bins - low) / (centre - low), (high - bins) / (high - centre)
    return np.asarray(np.maximum(0.0, np.minimum(rising, falling)), np.float32)


def mel_power_db(
    audio: Floats, sample_rate_hz: int, *, fft_size: int = 1024, hop: int = 256, bands: int = 80
) -> Floats:
    """Mean power of each mel band in dB, not below −100 dB; Hann windows. Shape [frames, bands], at least one frame."""
    if len(audio) < fft_size:
        audio = np.pad(audio, (0, fft_size - len(audio)))
    frames = np.lib.stride_tricks.sliding_window_view(audio, fft_size)[::hop]
    window = np.hanning(fft_size).astype(np.float32)
    spectrum = np.fft.rfft(frames * window, axis=1)
    power = (np.square(spectrum.real) + np.square(spectrum.imag)) / np.float32(np.square(window).sum())
    filters = mel_filters(sample_rate_hz, fft_size, bands)
    mean_power = power.astype(np.float32) @ (filters / np.maximum(filters.sum(axis=1, keepdims=True), 1e-9)).T
    return np.asarray(10.0 * np.log10(np.maximum(mean_power, 1e-10)), np.float32)
