"""The header of an audio file: what it states, the limits that it must keep, and why a file cannot be read."""

import contextlib
import io
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import av
from av.container import InputContainer

from voice_core.audio.source import open_audio
from voice_core.settings import AudioSettings

DEFAULT_LIMITS = AudioSettings()  # type: ignore[call-arg]


class UnreadableAudioError(ValueError):
    """No audio can be decoded. The message is the decoder's own."""

    reason = "unreadable"
    value: float | None = None
    threshold: float | None = None


class OutOfLimitsError(UnreadableAudioError):
    """The recording exceeds a limit of `AudioSettings`: `reason`, `value` and `threshold` say which."""

    def __init__(self, reason: str, what: str, value: float, threshold: float, setting: str) -> None:
        super().__init__(f"{what} {value:,g}; VOICE_AUDIO__{setting.upper()} is {threshold:,g}")
        self.reason, self.value, self.threshold = reason, value, threshold


@dataclass(frozen=True, slots=True)
class AudioInfo:
    """The content of a file's header. The duration is the container's claim, 0 if it has none."""

    container: str
    codec: str
    sample_rate_hz: int
    channels: int
    duration_sec: float


def probe(source: str | Path | IO[bytes], limits: AudioSettings = DEFAULT_LIMITS) -> AudioInfo:
    """Read the header of an audio file. Raises `UnreadableAudioError`."""
    try:
        with open_audio(source, limits.max_streams) as (container, _):
            return read_header(container)
    except (av.FFmpegError, OSError, ValueError) as error:
        raise to_unreadable_error(error, source, limits) from error


def find_exceeded_limit(info: AudioInfo, size_bytes: int, limits: AudioSettings) -> OutOfLimitsError | None:
    """The first limit that a header exceeds, or None. A `size_bytes` of 0 means unknown. Pure.

    >>> print(find_exceeded_limit(AudioInfo("wav", "pcm_s16le", 1, 1, 9.0), 0, DEFAULT_LIMITS))
    the sample rate in Hz is 1; VOICE_AUDIO__MIN_SAMPLE_RATE_HZ is 4,000
    """
    rate, hours = info.sample_rate_hz, info.duration_sec / 3600
    if 0 < rate < limits.min_sample_rate_hz:  # 0: not in the header
        what = "the sample rate in Hz is"
        return OutOfLimitsError("sample_rate_too_low", what, rate, limits.min_sample_rate_hz, "min_sample_rate_hz")
    if rate > limits.max_sample_rate_hz:
        what = "the sample rate in Hz is"
        return OutOfLimitsError("sample_rate_too_high", what, rate, limits.max_sample_rate_hz, "max_sample_rate_hz")
    if info.channels > limits.max_channels:
        what = "the number of channels is"
        return OutOfLimitsError("too_many_channels", what, info.channels, limits.max_channels, "max_channels")
    if hours > limits.max_hours:
        what = "the header claims a length in hours of"
        return OutOfLimitsError("recording_too_long", what, round(hours, 3), limits.max_hours, "max_hours")
    if size_bytes and info.duration_sec * limits.min_bytes_per_sec > size_bytes:
        what = f"the header claims {info.duration_sec:,.0f} s in {size_bytes:,} bytes, which is in bytes per second"
        value = round(size_bytes / info.duration_sec, 3)
        return OutOfLimitsError("too_few_bytes", what, value, limits.min_bytes_per_sec, "min_bytes_per_sec")
    return None


def read_header(container: InputContainer) -> AudioInfo:
    """The header of an open container. Raises `UnreadableAudioError`."""
    if not container.streams.audio:
        raise UnreadableAudioError("the file has no audio stream")
    stream = container.streams.audio[0]
    if stream.codec_context is None:  # FFmpeg has no decoder for the codec
        raise UnreadableAudioError("the codec of the audio stream is unknown")
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


def describe_decoder_error(error: Exception) -> str:
    """FFmpeg's message, without the file's name."""
    return str(getattr(error, "strerror", None) or error or type(error).__name__)


def to_unreadable_error(
    error: Exception, source: str | Path | IO[bytes], limits: AudioSettings
) -> UnreadableAudioError:
    """The error that callers get for an error while a file is opened or decoded."""
    if isinstance(error, UnreadableAudioError):
        return error
    if _is_empty(source):
        return UnreadableAudioError("the file is empty")
    message, detail = describe_decoder_error(error), _decoder_log(source, limits)
    return UnreadableAudioError(f"{message} ({detail})" if detail else message)


def _is_empty(source: str | Path | IO[bytes]) -> bool:
    if isinstance(source, str | Path):
        return Path(source).is_file() and Path(source).stat().st_size == 0
    return source.seek(0, io.SEEK_END) == 0


def _decoder_log(source: str | Path | IO[bytes], limits: AudioSettings) -> str:
    """FFmpeg's log of a file that it cannot open: the reason, where the error has only a code."""
    level = av.logging.get_level()
    av.logging.set_level(av.logging.ERROR)
    av.logging.set_skip_repeated(False)  # otherwise a repeated line appears with the next file
    try:
        ignored = contextlib.suppress(av.FFmpegError, OSError, ValueError)
        with av.logging.Capture() as lines, ignored, open_audio(source, limits.max_streams) as (container, _):
            read_header(container)
        return "; ".join(dict.fromkeys(f"{name}: {text.strip()}" for _, name, text in lines))
    finally:
        av.logging.set_level(level)
