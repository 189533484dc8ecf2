"""A recording of many hours for the memory benchmark, written in seconds and in constant memory."""

import math
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import av
import numpy as np
from av.audio.stream import AudioStream

from voice_core.compute import progress
from voice_core.demo.audio_encoder import BLOCK, AudioFormat, audio_frames, open_encoder
from voice_core.demo.recording_specs import RecordingSpec
from voice_core.demo.rendering import SAMPLE_RATE_HZ, RenderedRecording, render_recording
from voice_core.demo.sample_data import synthesise_lines
from voice_core.demo.script import CAST, load_talks
from voice_core.demo.transcripts import format_native_json

_TALKS: Final = ("palms", "coffee", "desert")
_FORMAT: Final = AudioFormat("mp3", SAMPLE_RATE_HZ, 1, 48_000)


@dataclass(frozen=True, slots=True)
class LongRecording:
    """The written files. Every line is healthy; its text recurs once per loop."""

    path: Path
    transcript: Path
    duration_sec: float
    line_count: int


def write_long_recording(path: Path, hours: float, *, script: Sequence[str] = _TALKS) -> LongRecording:
    """Write at least `hours` of speech to `path`, an .mp3, and its transcript beside it as .json.

    The talks of `script`, a few minutes, are spoken and encoded; their packets are then written again and
    again, some two thousand times faster than real time. What decodes is what encoding the whole would have
    given: the packets that repeat are the loop's second pass, when the encoder has heard its end before its start.

    Raises:
        ValueError: the extension is another one.
    """
    if path.suffix != ".mp3":
        raise ValueError(f"{path}: the file extension of a long recording must be .mp3")
    lines = tuple(text for talk in script for text in load_talks()[talk])
    plan = RecordingSpec("long", path.stem, _FORMAT, -60, CAST["salma_yousef"], lines)
    with ThreadPoolExecutor(1) as pool:
        loop = render_recording(plan, synthesise_lines([plan], pool))

    path.parent.mkdir(parents=True, exist_ok=True)
    container, stream = open_encoder(path, _FORMAT)
    with container:
        stream.codec_context.options = {**stream.codec_context.options, "reservoir": "0"}  # packets stand alone
        stream.codec_context.open()
        loop_samples = math.ceil(loop.samples.shape[1] / stream.frame_size) * stream.frame_size
        loops = max(2, math.ceil(hours * 3600 * SAMPLE_RATE_HZ / loop_samples))
        with progress.track(f"writing {path.name}", loops, "loops") as task:
            first, second, rest = _passes(stream, loop, loop_samples)
            container.mux(first)
            contents = [(bytes(packet), packet.pts or 0, packet.duration) for packet in second]
            for number in range(loops - 1):
                for content, pts, duration in contents:
                    packet = av.Packet(content)
                    packet.stream = stream
                    packet.time_base = second[0].time_base
                    packet.pts = packet.dts = pts + number * loop_samples
                    packet.duration = duration
                    container.mux_one(packet)
                task.advance()
            for packet in rest:
                packet.pts = packet.dts = (packet.pts or 0) + (loops - 2) * loop_samples
                container.mux_one(packet)
    segments = list(_segments(loop, loops, loop_samples / SAMPLE_RATE_HZ))
    transcript = path.with_suffix(".json")
    transcript.write_text(format_native_json(segments), encoding="utf-8")
    return LongRecording(path, transcript, loops * loop_samples / SAMPLE_RATE_HZ, len(segments))


def _passes(
    stream: AudioStream, loop: RenderedRecording, loop_samples: int
) -> tuple[list[av.Packet], list[av.Packet], list[av.Packet]]:
    """The packets of the first and second pass of the loop, and those that the encoder emits at the end."""
    padded = np.pad(loop.samples, ((0, 0), (0, loop_samples - loop.samples.shape[1])))
    blocks = [padded[:, start : start + BLOCK] for start in range(0, loop_samples, BLOCK)]
    packets = [packet for frame in audio_frames(blocks * 2, SAMPLE_RATE_HZ) for packet in stream.encode(frame)]
    packets += stream.encode(None)
    count = loop_samples // stream.frame_size
    return packets[:count], packets[count : 2 * count], packets[2 * count :]


def _segments(loop: RenderedRecording, loops: int, loop_sec: float) -> Iterator[dict[str, Any]]:
    for number in range(loops):
        for row in loop.segments:
            assert isinstance(row, dict)
            shift = number * loop_sec
            yield row | {"start": round(row["start"] + shift, 3), "end": round(row["end"] + shift, 3)}
