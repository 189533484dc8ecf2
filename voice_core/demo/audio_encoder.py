"""Encodes audio files of common formats with PyAV: in constant memory, with the same bytes every time."""

from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Final, Literal

import av
import numpy as np
import numpy.typing as npt
from av.audio.stream import AudioStream
from av.container import OutputContainer

Samples = npt.NDArray[np.float32]
"""Planar audio, shape [channels, samples], full scale ±1.0."""
Kind = Literal["mp3", "m4a", "opus", "ogg", "flac", "wav"]

BLOCK: Final = 1 << 15
"""Samples per encoder call."""

_CONTAINER_AND_CODEC: Final[dict[str, tuple[str, str]]] = {
    "mp3": ("mp3", "libmp3lame"),
    "m4a": ("ipod", "aac"),
    "opus": ("opus", "libopus"),
    "ogg": ("ogg", "libopus"),
    "flac": ("flac", "flac"),
    "wav": ("wav", "pcm_s16le"),
}


@dataclass(frozen=True, slots=True)
class AudioFormat:
    """The format of a recording. `kind` is also its file extension.

    Opus decodes at 48 kHz whatever it was made from, so its `sample_rate_hz` is best given as that.
    """

    kind: Kind
    sample_rate_hz: int
    channels: int = 1
    bit_rate_bps: int | None = None

    @property
    def layout(self) -> str:
        return {1: "mono", 2: "stereo"}[self.channels]


def open_encoder(path: Path, format: AudioFormat) -> tuple[OutputContainer, AudioStream]:
    """An output file and its only stream; no time, version or random serial number is written to it."""
    container_name, codec = _CONTAINER_AND_CODEC[format.kind]
    container = av.open(str(path), "w", format=container_name, options={"fflags": "+bitexact"})
    options = {"flags": "+bitexact"}
    stream = container.add_stream(codec, rate=format.sample_rate_hz, layout=format.layout, options=options)
    assert isinstance(stream, AudioStream)
    if format.bit_rate_bps:
        stream.bit_rate = format.bit_rate_bps
    return container, stream


def audio_frames(blocks: Iterable[Samples], sample_rate_hz: int) -> Iterable[av.AudioFrame]:
    """Planar float frames with timestamps from 0, in `1 / sample_rate_hz` s."""
    position = 0
    for block in blocks:
        layout = {1: "mono", 2: "stereo"}[len(block)]
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(block), format="fltp", layout=layout)
        frame.sample_rate = sample_rate_hz
        frame.time_base = Fraction(1, sample_rate_hz)
        frame.pts = position
        position += block.shape[1]
        yield frame


def encode_audio_file(path: Path, samples: Samples, sample_rate_hz: int, format: AudioFormat) -> None:
    """Write `samples` as `format`, resampled from `sample_rate_hz`; full scale is where integers saturate."""
    blocks = (samples[:, start : start + BLOCK] for start in range(0, samples.shape[1], BLOCK))
    container, stream = open_encoder(path, format)
    with container:
        for frame in audio_frames(blocks, sample_rate_hz):
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
