"""Recordings in any container, at any rate and channel count → mono 16-bit PCM, as a stream."""

import contextlib
import io
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import av
from av.audio.resampler import AudioResampler
from av.container import InputContainer

from voice_core.audio import RESAMPLER_OPTIONS, Pcm16

# What a recording may be. FFmpeg guesses the format from the content, and some formats it knows are lists of
# other files and addresses: a hostile upload must not make us open those.
_OPEN_OPTIONS = {
    "format_whitelist": "aac,ac3,aiff,amr,asf,au,caf,eac3,flac,matroska,webm,mov,mp4,m4a,3gp,3g2,mj2,"
    "mp3,mpeg,mpegts,ogg,oga,opus,w64,wav",
    "protocol_whitelist": "file",
}
_GAP_SEC = 0.05  # a jump in timestamps shorter than this is rounding, not lost audio
_LONGEST_GAP_SEC = 600.0  # a longer jump is a broken clock


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
    converter = _Converter(sample_rate_hz, max(1, round(chunk_sec * sample_rate_hz)))
    origin: float | None = None  # time of the first frame
    decoded_sec = 0.0  # source time handed to the resampler
    failure = ""  # the decoder's message since the last good frame

    def emit(frame: av.AudioFrame | None) -> Iterator[Pcm16]:
        for chunk in converter.convert(frame):
            report.sample_count += len(chunk)
            yield chunk

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
                    yield from emit(_silence_like(frame, step))
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


class _Converter:
    """Frames of any kind → chunks of mono PCM at one rate.

    Channels are mixed down before the rate is changed: libswresample by itself does it the other way round, and
    resamples each channel. A stream whose frames change their kind midway is followed.
    """

    def __init__(self, sample_rate_hz: int, chunk_samples: int) -> None:
        self._sample_rate_hz = sample_rate_hz
        self._chunk_samples = chunk_samples
        self._kind: tuple[str, str, int] | None = None
        self._stages: list[AudioResampler] = []

    def convert(self, frame: av.AudioFrame | None) -> Iterator[Pcm16]:
        """Chunks that are ready; with None, all that is left."""
        if frame is None:
            yield from self._flush()
            return
        kind = (frame.format.name, frame.layout.name, frame.sample_rate)
        if kind != self._kind:
            yield from self._flush()
            self._kind, self._stages = kind, self._stages_for(frame)
        yield from self._run([frame], self._stages)

    def _stages_for(self, frame: av.AudioFrame) -> list[AudioResampler]:
        final = AudioResampler("s16", "mono", self._sample_rate_hz, self._chunk_samples, options=RESAMPLER_OPTIONS)
        if frame.layout.nb_channels == 1:
            return [final]
        # A float mix is not normalised by itself: two channels at full scale would overdrive it.
        mix = AudioResampler("fltp", "mono", frame.sample_rate, frame.sample_rate, options={"rematrix_maxval": "1.0"})
        return [mix, final]

    def _run(self, frames: list[av.AudioFrame], stages: list[AudioResampler]) -> Iterator[Pcm16]:
        for stage in stages:
            frames = [out for frame in frames for out in stage.resample(frame)]
        for frame in frames:
            yield frame.to_ndarray()[0]

    def _flush(self) -> Iterator[Pcm16]:
        while self._stages:
            first, *rest = self._stages
            yield from self._run(first.resample(None), rest)
            self._stages = rest


def _silence_like(frame: av.AudioFrame, seconds: float) -> av.AudioFrame:
    samples = round(seconds * frame.sample_rate)
    silent = av.AudioFrame(format=frame.format.name, layout=frame.layout.name, samples=samples)
    for plane in silent.planes:
        plane.update(bytes(plane.buffer_size))
    silent.sample_rate = frame.sample_rate
    return silent


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
