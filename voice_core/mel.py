"""Log-mel spectra: what MelVQ codes, and what a round trip is judged by."""

from functools import lru_cache

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]


def hz_to_mel(hz: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """O'Shaughnessy's mel scale, 2595 log10(1 + f / 700)."""
    return 2595.0 * np.log10(1.0 + np.asarray(hz, np.float64) / 700.0)


def mel_to_hz(mel: npt.ArrayLike) -> npt.NDArray[np.float64]:
    return 700.0 * (10.0 ** (np.asarray(mel, np.float64) / 2595.0) - 1.0)


@lru_cache(maxsize=8)
def mel_filters(sample_rate_hz: int, fft_size: int, bands: int, low_hz: float = 0.0, high_hz: float = 0.0) -> Floats:
    """Triangular filters, shape [bands, fft_size // 2 + 1], each of area one."""
    top = high_hz or sample_rate_hz / 2
    edges = mel_to_hz(np.linspace(hz_to_mel(low_hz), hz_to_mel(top), bands + 2))
    frequencies = np.arange(fft_size // 2 + 1) * sample_rate_hz / fft_size
    rising = (frequencies - edges[:-2, None]) / (edges[1:-1] - edges[:-2])[:, None]
    falling = (edges[2:, None] - frequencies) / (edges[2:] - edges[1:-1])[:, None]
    filters = np.maximum(0.0, np.minimum(rising, falling))
    return (filters / np.maximum(filters.sum(axis=1, keepdims=True), 1e-9)).astype(np.float32)


def mel_power_db(
    audio: Floats, sample_rate_hz: int, *, fft_size: int = 1024, hop: int = 256, bands: int = 80
) -> Floats:
    """Mean power a mel band in dB, not below −100 dB; Hann windows. Shape [frames, bands], at least one frame."""
    if len(audio) < fft_size:
        audio = np.pad(audio, (0, fft_size - len(audio)))
    frames = np.lib.stride_tricks.sliding_window_view(audio, fft_size)[::hop]
    window = np.hanning(fft_size).astype(np.float32)
    spectrum = np.fft.rfft(frames * window, axis=1)
    power = (np.square(spectrum.real) + np.square(spectrum.imag)) / np.float32(np.square(window).sum())
    bands_power = power.astype(np.float32) @ mel_filters(sample_rate_hz, fft_size, bands).T
    return np.asarray(10.0 * np.log10(np.maximum(bands_power, 1e-10)), np.float32)
