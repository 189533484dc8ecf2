"""The demo's sample data: a raw bucket of synthesised recordings, healthy and broken, always with the same bytes."""

import dataclasses
import hashlib
import os
import shutil
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import av
import numpy as np
from filelock import FileLock

from voice_core.audio.header import UnreadableAudioError, probe
from voice_core.compute import progress
from voice_core.demo.audio_encoder import encode_audio_file
from voice_core.demo.recording_specs import (
    DEMO_CHANNEL_MAPPING,
    DEMO_FAULTS,
    DemoFault,
    RecordingSpec,
    list_recording_specs,
)
from voice_core.demo.rendering import (
    SAMPLE_RATE_HZ,
    LineAudio,
    SynthesisedLines,
    assign_speakers,
    render_recording,
    trim_and_normalise,
)
from voice_core.demo.transcripts import WRITERS, TranscriptKind
from voice_core.tts import Utterance, load_engine

__all__ = [
    "DEMO_CHANNEL_MAPPING",
    "DEMO_FAULTS",
    "DemoFault",
    "DemoRecording",
    "SampleData",
    "generate_sample_data",
    "repair_recording",
]

_MARKER: Final = ".world"
_LOCK: Final = ".world.lock"
_BUILDING: Final = "being built"
_SOURCES: Final = (
    "audio_encoder.py", "rendering.py", "recording_specs.py", "script.py", "talks.txt", "transcripts.py", "faults.py",
    "sample_data.py",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class DemoRecording:
    """An audio file. Duration, rate and channels are from its header; None if it is not readable."""

    channel: str
    audio_id: str
    path: Path
    kind: str
    duration_sec: float | None
    sample_rate_hz: int | None
    channels: int | None
    transcript: Path | None
    transcript_kind: TranscriptKind
    healthy_line_count: int
    fault: str | None


@dataclass(frozen=True, slots=True)
class SampleData:
    """The raw bucket. `built` is False if it existed already; `faults` is `DEMO_FAULTS`."""

    raw: Path
    built: bool
    recordings: tuple[DemoRecording, ...]
    faults: dict[str, DemoFault]

    @property
    def healthy_line_count(self) -> int:
        """Transcript lines that a pipeline with default settings should keep."""
        return sum(recording.healthy_line_count for recording in self.recordings)


def generate_sample_data(root: Path, *, seconds_scale: float = 1.0) -> SampleData:
    """Generate the raw bucket in `root/raw`: `<channel>/<audio_id>.<ext>`, each with its transcript.

    Existing files are kept, also repaired ones, while `root/.world` names the same version of script, code and
    encoders. `seconds_scale` (0 to 1) shortens the healthy recordings.

    Raises:
        FileExistsError: `root/raw` is not the raw bucket of a demo; it is not changed.
    """
    specs = list_recording_specs(seconds_scale)
    raw, partial, marker = root / "raw", root / "raw.partial", root / _MARKER
    version = _version(seconds_scale)
    if raw.exists() and not marker.exists():
        raise FileExistsError(f"{raw} exists and is not a demo bucket ({marker} is missing): choose another folder")
    root.mkdir(parents=True, exist_ok=True)
    with FileLock(root / _LOCK):
        if raw.exists() and marker.exists() and marker.read_text(encoding="utf-8") == version:
            return _read_sample_data(raw, specs, built=False)
        marker.write_text(_BUILDING, encoding="utf-8")
        shutil.rmtree(partial, ignore_errors=True)
        _write_recordings(specs, partial)
        shutil.rmtree(raw, ignore_errors=True)
        partial.rename(raw)
        marker.write_text(version, encoding="utf-8")
        return _read_sample_data(raw, specs, built=True)


def repair_recording(sample: SampleData, fault: str) -> Path:
    """Replace the defective file of a `FileFault` by the healthy one; returns the path of its audio.

    A `LineFault` is repaired by editing the transcript.
    """
    (broken,) = [plan for plan in list_recording_specs() if plan.fault is not None and plan.fault.name == fault]
    _write_recordings([dataclasses.replace(broken, fault=None)], sample.raw)
    return sample.raw / broken.audio_key


def _write_recordings(specs: Sequence[RecordingSpec], raw: Path) -> None:
    """Render, encode and write every recording, on all cores."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        spoken = synthesise_lines(specs, pool)
        with progress.track("recording", len(specs), "files") as task:
            for _ in pool.map(lambda plan: _write_recording(plan, raw, spoken), specs):
                task.advance()


def synthesise_lines(specs: Sequence[RecordingSpec], pool: ThreadPoolExecutor) -> SynthesisedLines:
    """Every sentence of the recordings, each synthesised once."""
    engine = load_engine("hibari")
    wanted = dict.fromkeys((speaker.voice, line.spoken) for plan in specs for speaker, line in assign_speakers(plan))

    def voice(pair: tuple[str, str]) -> LineAudio:
        speech = engine.speak(Utterance(pair[1], pair[0]))
        assert speech.sample_rate_hz == SAMPLE_RATE_HZ
        return trim_and_normalise(speech.audio)

    spoken = {}
    with progress.track("speaking", len(wanted), "sentences") as task:
        for pair, audio in zip(wanted, pool.map(voice, wanted), strict=True):
            spoken[pair] = audio
            task.advance()
    return spoken


def _write_recording(plan: RecordingSpec, raw: Path, spoken: SynthesisedLines) -> None:
    performance = render_recording(plan, spoken)
    fault = plan.fault
    audio_path, transcript_path = raw / plan.audio_key, _transcript_path(raw, plan)
    audio_path.parent.mkdir(parents=True, exist_ok=True)
    if fault is None or fault.audio is not None:
        encode_audio_file(audio_path, performance.samples, SAMPLE_RATE_HZ, plan.format)
        if fault is not None and fault.audio is not None:
            audio_path.write_bytes(fault.audio(audio_path.read_bytes()))
    transcript = WRITERS[plan.transcript][1](performance.segments).encode()
    if fault is None:
        transcript_path.write_bytes(transcript)
    elif fault.transcript is not None:
        transcript_path.write_bytes(fault.transcript(transcript))


def _transcript_path(raw: Path, plan: RecordingSpec) -> Path:
    return raw / (plan.key + WRITERS[plan.transcript][0])


def _read_sample_data(raw: Path, specs: Sequence[RecordingSpec], *, built: bool) -> SampleData:
    recordings = tuple(_describe_recording(raw, plan) for plan in specs if (raw / plan.audio_key).exists())
    return SampleData(raw, built, recordings, DEMO_FAULTS)


def _describe_recording(raw: Path, plan: RecordingSpec) -> DemoRecording:
    path, transcript = raw / plan.audio_key, _transcript_path(raw, plan)
    try:
        info = probe(path)
    except UnreadableAudioError:
        info = None
    return DemoRecording(
        channel=plan.channel,
        audio_id=plan.audio_id,
        path=path,
        kind=plan.format.kind,
        duration_sec=info.duration_sec if info else None,
        sample_rate_hz=info.sample_rate_hz if info else None,
        channels=info.channels if info else None,
        transcript=transcript if transcript.exists() else None,
        transcript_kind=plan.transcript,
        healthy_line_count=plan.healthy_line_count,
        fault=plan.fault.name if plan.fault else None,
    )


def _version(seconds_scale: float) -> str:
    """A version that changes with everything that the bytes of the sample data depend on."""
    digest = hashlib.sha256(repr((seconds_scale, np.__version__, av.library_versions)).encode())
    digest.update(load_engine("hibari").revision.encode())
    for name in _SOURCES:
        digest.update(Path(__file__).with_name(name).read_bytes())
    return digest.hexdigest()
