"""Speech to measure on: the demo's talks, spoken once, laid into recordings of any length, format and rate."""

import json
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from voice_core.corpus.ingest.discovery import discover
from voice_core.corpus.ingest.snapshot import snapshot_batch
from voice_core.demo.audio_encoder import AudioFormat, encode_audio_file
from voice_core.demo.recording_specs import RecordingSpec
from voice_core.demo.rendering import SAMPLE_RATE_HZ, SynthesisedLines, render_recording
from voice_core.demo.sample_data import synthesise_lines
from voice_core.demo.script import CAST, ScriptLine, load_talks
from voice_core.demo.transcripts import format_native_json
from voice_core.layout import PartitionKey
from voice_core.settings import RuleSettings, Settings
from voice_core.storage.store import Store

FORMATS: Final = (
    AudioFormat("mp3", 44_100, 2, 128_000),
    AudioFormat("m4a", 48_000, 2, 128_000),
    AudioFormat("opus", 48_000, 1, 48_000),
    AudioFormat("flac", 44_100, 2),
)
_LINE_CHARACTERS = 50  # sentences are joined up to this: lines of 3 to 8 seconds
_SEC_PER_CHARACTER, _PAUSE_SEC = 1 / 15.5, 0.475  # hibari's pace and the mean pause, to plan a length


@dataclass(frozen=True, slots=True)
class RawBucket:
    """A raw bucket on disk, one channel a format, and its recordings' paths by channel."""

    raw: Path
    recordings: dict[str, list[Path]]

    def duration_sec(self, channel: str) -> float:
        return sum(read_lines(path)[-1]["end"] for path in self.recordings[channel])


def write_recordings(raw: Path, formats: Sequence[AudioFormat], recordings: int, minutes: float) -> RawBucket:
    """Write `recordings` of about `minutes` each in every format; a channel is named as its format."""
    plans = [_plan(format, number, minutes) for format in formats for number in range(recordings)]
    paths: dict[str, list[Path]] = {}
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        spoken = synthesise_lines(plans, pool)
        for plan, path in zip(plans, pool.map(lambda plan: _write(plan, raw, spoken), plans), strict=True):
            paths.setdefault(plan.channel, []).append(path)
    return RawBucket(raw, paths)


def _plan(format: AudioFormat, number: int, minutes: float) -> RecordingSpec:
    sentences = _sentences()
    chosen: list[ScriptLine] = []
    planned_sec = 0.0
    while planned_sec < minutes * 60:
        line = sentences[(number * 37 + len(chosen)) % len(sentences)]
        planned_sec += len(line.spoken) * _SEC_PER_CHARACTER + _PAUSE_SEC
        chosen.append(line)
    return RecordingSpec(format.kind, f"{format.kind}-{number}", format, -60, CAST["ada_hugo"], tuple(chosen))


def _sentences() -> list[ScriptLine]:
    """The talks' sentences, short ones joined."""
    joined: list[ScriptLine] = []
    for talk in load_talks().values():
        waiting = ""
        for text in talk:
            waiting = f"{waiting} {text.spoken}".strip()
            if len(waiting) >= _LINE_CHARACTERS:
                joined.append(ScriptLine(waiting, waiting))
                waiting = ""
    return joined


def _write(plan: RecordingSpec, raw: Path, spoken: SynthesisedLines) -> Path:
    performance = render_recording(plan, spoken)
    path = raw / plan.audio_key
    path.parent.mkdir(parents=True, exist_ok=True)
    encode_audio_file(path, performance.samples, SAMPLE_RATE_HZ, plan.format)
    path.with_suffix(".json").write_text(format_native_json(performance.segments), encoding="utf-8")
    return path


def read_lines(path: Path) -> list[dict[str, Any]]:
    """The transcript of a recording."""
    found: list[dict[str, Any]] = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))["segments"]
    return found


def benchmark_settings(raw: Path, work: Path, **others: Any) -> Settings:
    """The default settings, whatever voice.toml and the environment say of rules."""
    return Settings.load(raw_url=str(raw), work_url=str(work), rules=RuleSettings(), **others)  # type: ignore[call-arg]


def open_stores(settings: Settings) -> tuple[Store, Store]:
    return Store(settings.raw_url), Store(settings.work_url, create=True)


def discover_partitions(settings: Settings) -> list[PartitionKey]:
    """List and probe the raw bucket and write its batches: all that precedes the cutting."""
    raw, work = open_stores(settings)
    partitions = [batch.partition for batch in discover(raw, work, settings).batches]
    for partition in partitions:
        snapshot_batch(raw, work, partition, settings)
    return partitions
