"""Encodes a stream of PCM to an audio file: in constant memory, and to the same bytes every time."""

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.audio.resampler import AudioResampler
from av.audio.stream import AudioStream

from voice_core.audio.pcm import RESAMPLER_OPTIONS, Pcm16


@dataclass(frozen=True, slots=True)
class Encoding:
    """How audio is encoded. `rates_hz` are those that the codec has; empty: any. `options` are the encoder's."""

    container: str
    codec: str
    extension: str
    kbps: int = 0
    rates_hz: tuple[int, ...] = ()
    movflags: str = ""
    options: tuple[tuple[str, str], ...] = ()

    def rate_for(self, rate_hz: int) -> int:
        """The rate that audio at `rate_hz` is encoded at: the same, or the next higher one.

        >>> OPUS.rate_for(22_050), FLAC.rate_for(22_050), MP3.rate_for(96_000)
        (24000, 22050, 48000)
        """
        higher = (rate for rate in self.rates_hz if rate >= rate_hz)
        return next(higher, self.rates_hz[-1]) if self.rates_hz else rate_hz


_MP3_RATES_HZ = (8_000, 11_025, 12_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000)
FLAC = Encoding("flac", "flac", "flac")
OPUS = Encoding("ogg", "libopus", "opus", 48, (8_000, 12_000, 16_000, 24_000, 48_000))
MP3 = Encoding("mp3", "libmp3lame", "mp3", 96, _MP3_RATES_HZ)
ACX = Encoding("mp3", "libmp3lame", "mp3", 192, (44_100,))


_FAST_AAC_BITS = 2.5  # per sample


def aac(kbps: int, rate_hz: int) -> Encoding:
    """AAC in MP4. The rate of the audio must be one of AAC's.

    FFmpeg's encoder has a fast search for quantizers. Of speech at 24 kHz and 64 kbit/s its error is 1.4 dB smaller
    than that of the other search, in 40 % of the time. With fewer bits it leaves out the high bands.
    """
    coder = "fast" if kbps * 1000 >= _FAST_AAC_BITS * rate_hz else "twoloop"
    return Encoding("mp4", "aac", "m4a", kbps, movflags="+faststart", options=(("aac_coder", coder),))


def encode_audio(
    path: Path, blocks: Iterable[Pcm16], rate_hz: int, encoding: Encoding, tags: Mapping[str, str] | None = None
) -> None:
    """Write mono PCM at `rate_hz` to `path`."""
    options = {"fflags": "+bitexact"} | ({"movflags": encoding.movflags} if encoding.movflags else {})
    to_hz = encoding.rate_for(rate_hz)
    with av.open(str(path), "w", format=encoding.container, options=options) as container:
        given = {"flags": "+bitexact", **dict(encoding.options)}
        stream = container.add_stream(encoding.codec, rate=to_hz, layout="mono", options=given)
        assert isinstance(stream, AudioStream)
        if encoding.kbps:
            stream.bit_rate = encoding.kbps * 1000
        container.metadata.update({name: value for name, value in (tags or {}).items() if value})
        for frame in _frames(blocks, rate_hz, to_hz):
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def _frames(blocks: Iterable[Pcm16], from_hz: int, to_hz: int) -> Iterator[av.AudioFrame]:
    resampler = AudioResampler("s16", "mono", to_hz, options=RESAMPLER_OPTIONS) if from_hz != to_hz else None
    position = 0
    for block in blocks:
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(block[None, :]), format="s16", layout="mono")
        frame.sample_rate, frame.time_base, frame.pts = from_hz, Fraction(1, from_hz), position
        position += len(block)
        yield from [frame] if resampler is None else resampler.resample(frame)
    if resampler is not None:
        yield from resampler.resample(None)


def hash_file(path: Path) -> str:
    """The SHA-256 of a local file, read in constant memory."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
