"""Audio in and out: any container to mono 16-bit PCM as a stream, FLAC and MP3 bytes, levels."""

import contextlib
import io
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import av
import numpy as np
import numpy.typing as npt
import soundfile
from av.audio.resampler import AudioResampler
from av.container import InputContainer

Pcm16 = npt.NDArray[np.int16]
"""Mono PCM, shape [samples], full scale ±32767."""

# What a recording may be. FFmpeg guesses the format from the content, and some formats it knows are lists of
# other files and addresses: a hostile upload must not make us open those.
_OPEN_OPTIONS = {
    "format_whitelist": "aac,ac3,aiff,amr,asf,au,caf,eac3,flac,matroska,webm,mov,mp4,m4a,3gp,3g2,mj2,"
    "mp3,mpeg,mpegts,ogg,oga,opus,w64,wav",
    "protocol_whitelist": "file",
}
# Twice libswresample's default length: images and aliases near the band edge fall by more than 20 dB at under a
# tenth of the decoding time.
_RESAMPLER_OPTIONS = {"filter_size": "64"}
_GAP_SEC = 0.05  # a jump in timestamps shorter than this is rounding, not lost audio
_LONGEST_GAP_SEC = 600.0  # a longer jump is a broken clock
_LOWEST_DBFS = -96.0  # about the least that 16 bits can hold


class UnreadableAudioError(ValueError):
    """Nothing can be decoded; the message is the decoder's own."""


@dataclass(frozen=True, slots=True)
class AudioInfo:
    """What a file's header says. The duration is the container's claim, 0 when it makes none."""

    container: str
    codec: str
    sample_rate_hz: int
    channels: int
    duration_sec: float


@dataclass(frozen=True, slots=True)
class Damage:
    """A span of samples that could not be decoded and was replaced by silence."""

    start: int
    stop: int
    message: str


@dataclass(slots=True)
class DecodeReport:
    """Filled while `decode` runs."""

    info: AudioInfo | None = None
    sample_count: int = 0
    damages: list[Damage] = field(default_factory=list)


def probe(source: str | Path | IO[bytes]) -> AudioInfo:
    """Read the header of an audio file. Raises `UnreadableAudioError`."""
    try:
        with _open(source) as container:
            return _info(container)
    except (av.FFmpegError, OSError, ValueError) as error:
        raise _unreadable(error, source) from error


def decode(
    source: str | Path | IO[bytes], sample_rate_hz: int, report: DecodeReport, *, chunk_sec: float = 1.0
) -> Iterator[Pcm16]:
    """Decode any container, rate and channel count to mono PCM at `sample_rate_hz`, a chunk at a time.

    Channels are averaged (libswresample's normalised down-mix). Packets that cannot be decoded become
    silence of the same length and are listed in `report.damages`, so that times after them stay true.

    Raises `UnreadableAudioError` when not one sample can be decoded.
    """
    try:
        with _open(source) as container:
            report.info = _info(container)
            yield from _decode(container, sample_rate_hz, report, chunk_sec)
    except (av.FFmpegError, OSError, ValueError) as error:
        raise _unreadable(error, source) from error
    if report.sample_count == 0:
        first = report.damages[0].message if report.damages else "the file holds no audio samples"
        raise UnreadableAudioError(first)


def _decode(container: InputContainer, sample_rate_hz: int, report: DecodeReport, chunk_sec: float) -> Iterator[Pcm16]:
    stream = container.streams.audio[0]
    if stream.codec_context.name == "flac":  # else a damaged frame is played, at full scale, and nobody is told
        stream.codec_context.options = {"err_detect": "crccheck+explode"}
    resampler = AudioResampler(
        format="s16",
        layout="mono",
        rate=sample_rate_hz,
        frame_size=max(1, round(chunk_sec * sample_rate_hz)),
        options=_RESAMPLER_OPTIONS,
    )
    origin: float | None = None  # time of the first frame
    decoded_sec = 0.0  # source time handed to the resampler
    failure = ""  # the decoder's message since the last good frame

    def silence(seconds: float) -> av.AudioFrame:
        rate = stream.codec_context.sample_rate
        frame = av.AudioFrame(format=last.format.name, layout=last.layout.name, samples=round(seconds * rate))
        for plane in frame.planes:
            plane.update(bytes(plane.buffer_size))
        frame.sample_rate = rate
        return frame

    def emit(frame: av.AudioFrame | None) -> Iterator[Pcm16]:
        for resampled in resampler.resample(frame):
            chunk = resampled.to_ndarray()[0]
            report.sample_count += len(chunk)
            yield chunk

    last: av.AudioFrame
    packets = container.demux(stream)
    while True:
        try:
            packet = next(packets)
            frames = packet.decode()
        except (StopIteration, av.EOFError):
            break
        except av.InvalidDataError as error:
            failure = failure or _message(error)
            continue
        except av.FFmpegError as error:  # the container itself broke off: nothing more can be read
            failure = _message(error)
            break
        for frame in frames:
            if not isinstance(frame, av.AudioFrame) or not frame.samples:
                continue
            last = frame
            at = decoded_sec if frame.time is None else frame.time
            if origin is None:
                origin = at - decoded_sec
            missing = at - origin - decoded_sec
            if abs(missing) > _LONGEST_GAP_SEC:  # the clock was set anew: that is no audio that is missing
                origin, missing = at - decoded_sec, 0.0
            if missing > _GAP_SEC:
                start, stop = round(decoded_sec * sample_rate_hz), round((decoded_sec + missing) * sample_rate_hz)
                # Noted before its first sample is handed out: a line that ends within it must know.
                report.damages.append(Damage(start, stop, failure or "the timestamps jump: audio is missing"))
                left = missing
                while left > 0:  # a long gap is filled in short frames, to keep memory flat
                    step = min(left, 10.0)
                    yield from emit(silence(step))
                    left -= step
                decoded_sec += missing
            elif failure:
                start = round(decoded_sec * sample_rate_hz)
                report.damages.append(Damage(max(0, start - 1), start + 1, failure))
            failure = ""
            decoded_sec += frame.samples / frame.sample_rate
            # Timestamps follow the samples from here on; the container's own may be rounded or absent.
            frame.pts = None
            yield from emit(frame)
    if origin is not None:
        yield from emit(None)
    if failure:
        report.damages.append(Damage(report.sample_count, report.sample_count, failure))


def _open(source: str | Path | IO[bytes]) -> InputContainer:
    # "file:" keeps a name with a colon in it from being taken for a protocol.
    where = f"file:{source}" if isinstance(source, str | Path) else source
    return av.open(where, "r", options=_OPEN_OPTIONS, metadata_errors="replace")


def _info(container: InputContainer) -> AudioInfo:
    if not container.streams.audio:
        raise UnreadableAudioError("the file has no audio stream")
    stream = container.streams.audio[0]
    duration = 0.0
    if stream.duration is not None and stream.time_base is not None:
        duration = float(stream.duration * stream.time_base)
    elif container.duration is not None:
        duration = container.duration / av.time_base
    return AudioInfo(
        container=container.format.name,
        codec=stream.codec_context.name,
        sample_rate_hz=stream.codec_context.sample_rate,
        channels=stream.codec_context.channels,
        duration_sec=max(0.0, duration),
    )


def _message(error: Exception) -> str:
    return str(getattr(error, "strerror", None) or error or type(error).__name__)


def _unreadable(error: Exception, source: str | Path | IO[bytes]) -> UnreadableAudioError:
    if isinstance(error, UnreadableAudioError):
        return error
    if _is_empty(source):
        return UnreadableAudioError("the file is empty")
    detail = _decoder_log(source)
    return UnreadableAudioError(f"{_message(error)} ({detail})" if detail else _message(error))


def _is_empty(source: str | Path | IO[bytes]) -> bool:
    if isinstance(source, str | Path):
        return Path(source).is_file() and Path(source).stat().st_size == 0
    return source.seek(0, io.SEEK_END) == 0


def _decoder_log(source: str | Path | IO[bytes]) -> str:
    """What FFmpeg logs when it opens a file that it cannot read: the reason, where the error has only a code."""
    level = av.logging.get_level()
    av.logging.set_level(av.logging.ERROR)
    av.logging.set_skip_repeated(False)  # else a line may come with the next file's
    try:
        with av.logging.Capture() as lines:
            if not isinstance(source, str | Path):
                source.seek(0)
            with contextlib.suppress(av.FFmpegError, OSError, ValueError), _open(source) as container:
                _info(container)
        return "; ".join(dict.fromkeys(f"{name}: {text.strip()}" for _, name, text in lines))
    finally:
        av.logging.set_level(level)


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
    resampler = AudioResampler(format="flt", layout="mono", rate=to_hz, options=_RESAMPLER_OPTIONS)
    frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(audio[None, :], np.float32), format="flt", layout="mono")
    frame.sample_rate = from_hz
    pieces = [piece.to_ndarray()[0] for piece in (*resampler.resample(frame), *resampler.resample(None))]
    length = -(-len(audio) * to_hz // from_hz)
    result = np.concatenate([audio[:0], *pieces])[:length]  # a clip shorter than the filter gives no piece at all
    return np.pad(result, (0, length - len(result)))


def dbfs(amplitude: float) -> float:
    """Amplitude (1.0 is full scale) in dBFS, not below what 16 bits can hold.

    >>> round(dbfs(0.5), 2), dbfs(0.0)
    (-6.02, -96.0)
    """
    return max(_LOWEST_DBFS, 20.0 * float(np.log10(amplitude))) if amplitude > 0 else _LOWEST_DBFS


def flac_bytes(pcm: Pcm16, sample_rate_hz: int) -> bytes:
    """Mono 16-bit FLAC. Level 3 of 8: nearly as small as the default, written 1.6 times as fast."""
    buffer = io.BytesIO()
    soundfile.write(buffer, pcm, sample_rate_hz, format="FLAC", subtype="PCM_16", compression_level=0.375)
    return buffer.getvalue()


def mp3_bytes(audio: npt.NDArray[np.float32], sample_rate_hz: int, bit_rate: int = 64_000) -> bytes:
    """Mono MP3, for pages that people listen to."""
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="mp3") as container:
        stream = container.add_stream("libmp3lame", rate=sample_rate_hz, layout="mono")
        stream.bit_rate = bit_rate
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(audio[None, :]), format="fltp", layout="mono")
        frame.sample_rate = sample_rate_hz
        context = stream.codec_context
        fit = AudioResampler(
            format=context.format, layout=context.layout, rate=sample_rate_hz, frame_size=context.frame_size or 1152
        )
        for piece in [*fit.resample(frame), *fit.resample(None)]:
            container.mux(stream.encode(piece))
        container.mux(stream.encode(None))
    return buffer.getvalue()
