"""Decode recordings in any container, sample rate and channel count to a stream of mono 16-bit PCM."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import av
from av.audio.resampler import AudioResampler
from av.container import InputContainer

from voice_core.audio.header import (
    DEFAULT_LIMITS,
    AudioInfo,
    UnreadableAudioError,
    describe_decoder_error,
    find_exceeded_limit,
    read_header,
    to_unreadable_error,
)
from voice_core.audio.pcm import RESAMPLER_OPTIONS, Pcm16
from voice_core.audio.source import MAX_FRAME_SAMPLES, AudioReader, limit_ffmpeg_memory, open_audio
from voice_core.settings import AudioSettings

_GAP_SEC = 0.05  # a shorter jump in timestamps is rounding, not lost audio
_CLOCK_RESET_SEC = 600.0  # a longer jump back is a reset of the clock: the audio continues
_SILENCE_FRAME_SEC = 1.0  # silence is emitted in frames of this length
_MAX_DAMAGED_SPANS = 10_000


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


def decode(
    source: str | Path | IO[bytes],
    sample_rate_hz: int,
    report: DecodeReport,
    *,
    limits: AudioSettings = DEFAULT_LIMITS,
    chunk_sec: float = 1.0,
) -> Iterator[Pcm16]:
    """Decode any container, rate and channel count to mono PCM at `sample_rate_hz`, in chunks of `chunk_sec` seconds.

    Channels are averaged (libswresample's normalised down-mix). Packets that cannot be decoded become silence of the
    same length and are listed in `report.damages`, so that later times stay correct. After a gap longer than
    `limits.max_gap_sec` times are unknown: the rest of the recording is one damage.

    Memory does not grow with the length of the recording. Raises `UnreadableAudioError` if no sample can be decoded,
    and `OutOfLimitsError` for a recording outside of `limits`, also if its header says otherwise.
    """
    try:
        with open_audio(source, limits.max_streams) as (container, reader):
            report.info = read_header(container)
            if (broken := find_exceeded_limit(report.info, 0, limits)) is not None:
                raise broken
            decoder = _Decoder(
                container, reader, sample_rate_hz, report, limits, max(1, round(chunk_sec * sample_rate_hz))
            )
            yield from decoder.run()
            reader.check()
    except (av.FFmpegError, OSError, ValueError) as error:
        raise to_unreadable_error(error, source, limits) from error
    if report.sample_count == 0:
        first = report.damages[0].message if report.damages else "the file holds no audio samples"
        raise UnreadableAudioError(first)


class _Decoder:
    """Decodes a container once, from start to end."""

    def __init__(
        self,
        container: InputContainer,
        reader: AudioReader,
        sample_rate_hz: int,
        report: DecodeReport,
        limits: AudioSettings,
        chunk_samples: int,
    ) -> None:
        self._container, self._reader, self._report, self._limits = container, reader, report, limits
        self._sample_rate_hz = sample_rate_hz
        self._stream = container.streams.audio[0]
        options = {"max_samples": str(MAX_FRAME_SAMPLES)}
        if self._stream.codec_context.name == "flac":  # otherwise damaged frames are decoded to noise without an error
            options["err_detect"] = "crccheck+explode"
        self._stream.codec_context.options = options
        self._converter = _Converter(sample_rate_hz, chunk_samples)
        self._origin: float | None = None  # time of the first frame
        self._decoded_sec = 0.0  # source time handed to the resampler
        self._failure = ""  # the decoder's message since the last good frame
        self._rate_hz = 0  # of the frames
        self._times_unknown = False  # from here to the end of the recording

    def run(self) -> Iterator[Pcm16]:
        for frame in self._frames():
            yield from self._fill_gap(frame)
            # From here on times are counted in samples; the container's timestamps may be rounded or absent.
            frame.pts = None
            self._decoded_sec += frame.samples / frame.sample_rate
            yield from self._emit(frame)
        if self._origin is not None:
            yield from self._emit(None)
        total = self._report.sample_count
        if self._times_unknown:
            last = self._report.damages.pop()
            self._report.damages.append(Damage(last.start, total, last.message))
        elif self._failure:
            self._report.damages.append(Damage(total, total, self._failure))

    def _frames(self) -> Iterator[av.AudioFrame]:
        packets = self._container.demux(self._stream)
        indexed = "mp4" in self._container.format.name  # the only format whose fragments claim sizes
        while True:
            try:
                with limit_ffmpeg_memory() if indexed else contextlib.nullcontext():
                    packet = next(packets)
                    self._reader.mark_parsed()
                    frames = packet.decode()
            except (StopIteration, av.EOFError):
                self._failure = self._reader.problem or self._failure
                return
            except av.InvalidDataError as error:
                self._failure = self._failure or describe_decoder_error(error)
                continue
            except (av.FFmpegError, MemoryError) as error:  # of the container itself: nothing more can be read
                self._failure = self._reader.problem or describe_decoder_error(error)
                return
            for frame in frames:
                if isinstance(frame, av.AudioFrame) and frame.samples and frame.sample_rate:
                    self._check_limits(frame)
                    yield frame

    def _check_limits(self, frame: av.AudioFrame) -> None:
        """Frames may differ from the header, so each is checked."""
        if frame.sample_rate == self._rate_hz and self._decoded_sec <= self._limits.max_hours * 3600:
            return
        self._rate_hz = frame.sample_rate
        there = AudioInfo("", "", frame.sample_rate, frame.layout.nb_channels, self._decoded_sec)
        if (broken := find_exceeded_limit(there, 0, self._limits)) is not None:
            raise broken

    def _fill_gap(self, frame: av.AudioFrame) -> Iterator[Pcm16]:
        """Emit silence for audio that is missing before a frame, and report the damage."""
        at = self._decoded_sec if frame.time is None else frame.time
        if self._origin is None:
            self._origin = at - self._decoded_sec
        missing = at - self._origin - self._decoded_sec
        if missing < -_CLOCK_RESET_SEC:
            self._origin, missing = at - self._decoded_sec, 0.0
        failure, self._failure = self._failure, ""
        if self._times_unknown:
            return
        start = round(self._decoded_sec * self._sample_rate_hz)
        if missing > self._limits.max_gap_sec:
            gap = f"the timestamps jump by {missing:,.1f} s; VOICE_AUDIO__MAX_GAP_SEC is {self._limits.max_gap_sec:g}"
            self._mark_times_unknown(start, gap)
        elif len(self._report.damages) >= _MAX_DAMAGED_SPANS:
            self._mark_times_unknown(start, f"more than {_MAX_DAMAGED_SPANS:,} damaged spans")
        elif missing > _GAP_SEC:
            stop = round((self._decoded_sec + missing) * self._sample_rate_hz)
            # Reported before its first sample is emitted: a line that ends within the gap needs it.
            message = failure or "the timestamps jump: audio is missing"
            self._report.damages.append(Damage(start, stop, message))
            left = missing
            while left > 0:  # in short frames, to keep memory flat
                step = min(left, _SILENCE_FRAME_SEC)
                if samples := round(step * frame.sample_rate):  # FFmpeg's filters reject empty frames
                    yield from self._emit(_silence_like(frame, samples))
                left -= step
            self._decoded_sec += missing
        elif failure:
            self._report.damages.append(Damage(max(0, start - 1), start + 1, failure))

    def _mark_times_unknown(self, start: int, message: str) -> None:
        """Report everything from `start` on as damaged."""
        self._times_unknown = True
        longest = round(self._limits.max_hours * 3600 * self._sample_rate_hz)
        self._report.damages.append(Damage(max(0, start - 1), max(longest, start + 1), message))

    def _emit(self, frame: av.AudioFrame | None) -> Iterator[Pcm16]:
        for chunk in self._converter.convert(frame):
            self._report.sample_count += len(chunk)
            yield chunk


class _Converter:
    """Converts frames of any format to chunks of mono PCM at one rate.

    Channels are mixed down before the rate is changed: libswresample by itself does the opposite, and resamples each
    channel. The format of frames may change within a stream.
    """

    def __init__(self, sample_rate_hz: int, chunk_samples: int) -> None:
        self._sample_rate_hz = sample_rate_hz
        self._chunk_samples = chunk_samples
        self._kind: tuple[str, str, int] | None = None
        self._stages: list[AudioResampler] = []

    def convert(self, frame: av.AudioFrame | None) -> Iterator[Pcm16]:
        """The chunks that are complete; with None, the rest."""
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
        # A float mix is not normalised by default: two channels at full scale would clip.
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


def _silence_like(frame: av.AudioFrame, samples: int) -> av.AudioFrame:
    silent = av.AudioFrame(format=frame.format.name, layout=frame.layout.name, samples=samples)
    for plane in silent.planes:
        plane.update(bytes(plane.buffer_size))
    silent.sample_rate = frame.sample_rate
    return silent
