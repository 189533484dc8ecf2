"""PCM arrays: conversion, levels, resampling, and encoding to FLAC and MP3. Decoding is in `decoding`."""

import io

import av
import numpy as np
import numpy.typing as npt
import soundfile
from av.audio.resampler import AudioResampler

Pcm16 = npt.NDArray[np.int16]
"""Mono PCM, shape [samples], full scale ±32767."""

# Twice libswresample's default length: images and aliases near the band edge are more than 20 dB lower, for less than a
# tenth of the decoding time.
RESAMPLER_OPTIONS = {"filter_size": "64"}
_LOWEST_DBFS = -96.0  # about the lowest level of 16-bit audio


def to_float(pcm: Pcm16) -> npt.NDArray[np.float32]:
    """16-bit PCM to float32 at full scale ±1."""
    return pcm.astype(np.float32) / np.float32(32768.0)


def to_pcm16(audio: npt.NDArray[np.floating]) -> Pcm16:
    """Float audio at full scale ±1 to 16-bit PCM, saturating.

    >>> to_pcm16(np.array([0.0, 0.5, 1.0, -2.0]))
    array([     0,  16384,  32767, -32768], dtype=int16)
    """
    return np.clip(np.rint(audio * 32768.0), -32768, 32767).astype(np.int16)


def resample(audio: npt.NDArray[np.float32], from_hz: int, to_hz: int) -> npt.NDArray[np.float32]:
    """Resample mono float audio; the result has `ceil(samples * to_hz / from_hz)` samples."""
    if from_hz == to_hz or not len(audio):
        return audio
    resampler = AudioResampler(format="flt", layout="mono", rate=to_hz, options=RESAMPLER_OPTIONS)
    frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(audio[None, :], np.float32), format="flt", layout="mono")
    frame.sample_rate = from_hz
    pieces = [piece.to_ndarray()[0] for piece in (*resampler.resample(frame), *resampler.resample(None))]
    length = -(-len(audio) * to_hz // from_hz)
    result = np.concatenate([audio[:0], *pieces])[:length]  # a clip shorter than the filter gives no output
    return np.pad(result, (0, length - len(result)))


def dbfs(amplitude: float) -> float:
    """Amplitude (1.0 is full scale) in dBFS, at least −96 (16 bits).

    >>> round(dbfs(0.5), 2), dbfs(0.0)
    (-6.02, -96.0)
    """
    return max(_LOWEST_DBFS, 20.0 * float(np.log10(amplitude))) if amplitude > 0 else _LOWEST_DBFS


def flac_bytes(pcm: Pcm16, sample_rate_hz: int) -> bytes:
    """Mono 16-bit FLAC. Level 3 of 8: nearly as small as the default, and 1.6 times as fast."""
    buffer = io.BytesIO()
    soundfile.write(buffer, pcm, sample_rate_hz, format="FLAC", subtype="PCM_16", compression_level=0.375)
    return buffer.getvalue()


def mp3_bytes(audio: npt.NDArray[np.float32], sample_rate_hz: int, bit_rate: int = 64_000) -> bytes:
    """MP3 of mono audio, shape [samples], or stereo, shape [samples, 2], for listening in web pages.

    Stereo channels are encoded without joint stereo, so that there is no crosstalk.
    """
    planes = np.ascontiguousarray(audio.reshape(len(audio), -1).T)
    layout = "mono" if len(planes) == 1 else "stereo"
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="mp3") as container:
        stream = container.add_stream("libmp3lame", rate=sample_rate_hz, layout=layout, options={"joint_stereo": "0"})
        stream.bit_rate = bit_rate
        frame = av.AudioFrame.from_ndarray(planes, format="fltp", layout=layout)
        frame.sample_rate = sample_rate_hz
        context = stream.codec_context
        fit = AudioResampler(
            format=context.format, layout=context.layout, rate=sample_rate_hz, frame_size=context.frame_size or 1152
        )
        for piece in [*fit.resample(frame), *fit.resample(None)]:
            container.mux(stream.encode(piece))
        container.mux(stream.encode(None))
    return buffer.getvalue()
