"""A small raw bucket and work root of real files, and the stages run on them."""

import hashlib
import json
import os
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import av
import numpy as np
import numpy.typing as npt
import soundfile
from av.audio.resampler import AudioResampler

from voice_core.audio.pcm import resample, to_pcm16
from voice_core.codecs.base import Audio, Codes, Margins, resampled_length
from voice_core.corpus import checks
from voice_core.corpus.dataset import card_stage, pairs, rows_stage, splits
from voice_core.corpus.encode import encode_stage
from voice_core.corpus.ingest import batches, discovery, snapshot
from voice_core.corpus.ingest.batch_model import Batch
from voice_core.corpus.ingest.discovery import Discovery
from voice_core.corpus.names import SEGMENTS
from voice_core.corpus.segment import segment_stage
from voice_core.corpus.segment.rebuild import RebuildSources
from voice_core.corpus.status import BuildStatus, read_status
from voice_core.layout import PartitionKey
from voice_core.settings import Settings
from voice_core.stages.manifest import Entry, Manifest, read_complete_manifest
from voice_core.storage.store import Store

RATE = 24_000
Floats = npt.NDArray[np.float32]
LineSpec = dict[str, Any]

_WORDS = ("Amber", "Birch", "Cedar", "Daisy", "Elder", "Fennel", "Gorse", "Hazel", "Iris", "Juniper")


def speech_like_noise(seconds: float, rate: int = RATE, seed: int = 0, level: float = 0.3) -> Floats:
    """Noise in syllables with short pauses: it has the measures of clean speech."""
    count = round(seconds * rate)
    time = np.arange(count) / rate
    envelope = np.clip(np.sin(2 * np.pi * 3 * time), 0, None) ** 0.5
    noise = np.random.default_rng(seed).standard_normal(count) * level / 3
    return (noise * envelope).clip(-0.9, 0.9).astype(np.float32)


def room_noise(seconds: float, rate: int = RATE, seed: int = 0) -> Floats:
    """The noise of a quiet room, at −66 dBFS."""
    return (np.random.default_rng(seed + 999).standard_normal(round(seconds * rate)) * 5e-4).astype(np.float32)


def synthesize_recording(seconds: float, lines: Iterable[LineSpec], rate: int = RATE, seed: int = 0) -> Floats:
    """A quiet room in which somebody speaks while the lines last."""
    audio = room_noise(seconds, rate, seed)
    for number, line in enumerate(lines):
        start, end = line["start"], line["end"]
        if isinstance(start, int | float) and isinstance(end, int | float) and 0 <= start < end <= seconds:
            spoken = speech_like_noise(end - start, rate, seed * 1000 + number)
            at = round(start * rate)
            audio[at : at + len(spoken)] += spoken[: len(audio) - at]
    return audio


def make_line(start: Any, end: Any, text: str, **more: Any) -> LineSpec:
    return {"start": start, "end": end, "text": text, "speaker_id": "s1", **more}


def make_lines(seconds: float, name: str, speaker_id: str = "s1") -> list[LineSpec]:
    """A line of 1.6 s every 2 s, each with a text of its own."""
    count = int(seconds // 2)
    return [
        make_line(2 * i + 0.2, 2 * i + 1.8, f"{_WORDS[i % len(_WORDS)]} {name}, part {i}.", speaker_id=speaker_id)
        for i in range(count)
    ]


def write_audio(
    path: Path, audio: Floats, rate: int, codec: str = "", channels: int = 1, bit_rate: int = 128_000
) -> None:
    """Write `audio` to a file in the format that the extension says, the same in every channel."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix in (".wav", ".flac"):
        soundfile.write(path, np.tile(to_pcm16(audio)[:, None], (1, channels)), rate)
        return
    codec = codec or {".mp3": "libmp3lame", ".opus": "libopus", ".ogg": "libopus", ".m4a": "aac"}[path.suffix]
    layout = "mono" if channels == 1 else "stereo"
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate, layout=layout)
        stream.bit_rate = bit_rate
        planes = np.ascontiguousarray(np.tile(audio[None, :], (channels, 1)), np.float32)
        frame = av.AudioFrame.from_ndarray(planes, format="fltp", layout=layout)
        frame.sample_rate = rate
        context = stream.codec_context
        fit = AudioResampler(context.format, context.layout, rate, frame_size=context.frame_size or 1152)
        for piece in [*fit.resample(frame), *fit.resample(None)]:
            container.mux(stream.encode(piece))
        container.mux(stream.encode(None))


class SmallCodec:
    """A real, if poor, codec: 50 codes a second, each a frame's level (8 bits) and zero crossings (8 bits)."""

    name = "small"
    stand_in = True
    input_sample_rate_hz = output_sample_rate_hz = RATE
    codes_per_sec = 50
    codebook_size = 65_536
    batch_sec = 120.0
    max_margin = 0.0
    device = "cpu"
    rechecked = 0
    min_agreement = 0.0

    def __init__(self, revision: str = "1") -> None:
        self.revision = revision
        self.encoded = 0

    def ready(self, purpose: str) -> AbstractContextManager[None]:
        return nullcontext()

    def group_key(self, sample_count: int, sample_rate_hz: int) -> int:
        return 0

    def code_count(self, sample_count: int, sample_rate_hz: int | None = None) -> int:
        return -(-resampled_length(sample_count, sample_rate_hz or RATE, RATE) // 480)

    def encode(self, clips: Sequence[Audio], sample_rate_hz: int | None = None) -> list[Codes]:
        self.encoded += len(clips)
        return [self._one(resample(clip, sample_rate_hz or RATE, RATE)) for clip in clips]

    def encode_reference(self, clip: Audio, sample_rate_hz: int | None = None) -> tuple[Codes, Margins]:
        codes = self._one(resample(clip, sample_rate_hz or RATE, RATE))
        return codes, np.ones(len(codes), np.float32)

    def _one(self, clip: Audio) -> Codes:
        frames = np.pad(clip, (0, -len(clip) % 480)).reshape(-1, 480)
        level = 20 * np.log10(np.sqrt(np.square(frames).mean(axis=1)) + 1e-5)  # −100 to 0
        crossings = (np.diff(np.signbit(frames), axis=1)).sum(axis=1)
        return (np.clip(level + 100, 0, 255).astype(np.int32) * 256 + np.clip(crossings // 2, 0, 255)).astype(np.int32)

    def decode(self, codes: Sequence[Codes]) -> list[Audio]:
        def one(array: Codes) -> Audio:
            level = 10 ** ((array // 256 - 100) / 20)
            phase = np.cumsum(np.repeat((array % 256) * 2 * np.pi / 480, 480))
            return (np.sin(phase) * np.repeat(level, 480) * 1.41).astype(np.float32)

        return [one(array) for array in codes]


class OtherLastCode(SmallCodec):
    """Gives another last code to every clip: so does a batch of longer clips, or a machine that sums in another
    order."""

    def encode(self, clips: Sequence[Audio], sample_rate_hz: int | None = None) -> list[Codes]:
        return [np.append(codes[:-1], codes[-1] ^ 1) for codes in super().encode(clips, sample_rate_hz)]


class Corpus:
    def __init__(self, folder: Path) -> None:
        self.raw_dir, self.work_dir = folder / "raw", folder / "work"
        self.raw_dir.mkdir()
        self.settings = Settings(raw_url=str(self.raw_dir), work_url=str(self.work_dir), workers=1)
        self.codec = SmallCodec()

    def set(self, **changes: Any) -> None:
        """Change settings; a dict changes some of a group."""
        value = self.settings.model_dump()
        for name, change in changes.items():
            value[name] = {**value[name], **change} if isinstance(change, dict) else change
        self.settings = Settings(**value)

    @property
    def raw(self) -> Store:
        return Store(self.settings.raw_url)

    @property
    def work(self) -> Store:
        return Store(self.settings.work_url, create=True)

    @property
    def rebuild_sources(self) -> RebuildSources:
        return RebuildSources(lambda: self.raw, lambda: self.codec)

    # --- the raw bucket

    def audio_path(self, audio_id: str, channel: str = "news", extension: str = ".wav") -> Path:
        return self.raw_dir / channel / f"{audio_id}{extension}"

    def transcript_path(self, audio_id: str, channel: str = "news") -> Path:
        return self.raw_dir / channel / f"{audio_id}.json"

    def add_recording(
        self,
        audio_id: str,
        seconds: float = 6.0,
        lines: list[LineSpec] | None = None,
        *,
        channel: str = "news",
        extension: str = ".wav",
        speaker_id: str = "s1",
        seed: int | None = None,
    ) -> list[LineSpec]:
        """Add a recording and its transcript; returns its lines."""
        lines = make_lines(seconds, audio_id, speaker_id) if lines is None else lines
        seed = sum(audio_id.encode()) if seed is None else seed
        write_audio(
            self.audio_path(audio_id, channel, extension), synthesize_recording(seconds, lines, seed=seed), RATE
        )
        self.write_transcript(audio_id, lines, channel=channel)
        return lines

    def write_transcript(self, audio_id: str, lines: list[LineSpec], *, channel: str = "news") -> None:
        path = self.transcript_path(audio_id, channel)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({"segments": lines}, ensure_ascii=False), "utf-8")

    # --- the stages

    def discover(self) -> Discovery:
        return discovery.discover(self.raw, self.work, self.settings)

    def snapshot(self) -> list[Batch]:
        found = self.discover()
        return [snapshot.snapshot_batch(self.raw, self.work, batch.partition, self.settings) for batch in found.batches]

    def segment(self, channel: str = "news", number: int = 1) -> segment_stage.SegmentsReport:
        """Look at the raw bucket again, and cut."""
        self.snapshot()
        return segment_stage.build_segments(self.raw, self.work, PartitionKey(channel, number), self.settings)

    def encode(self, channel: str = "news", number: int = 1) -> encode_stage.CodesReport:
        return encode_stage.build_codes(
            self.work, PartitionKey(channel, number), self.codec, self.settings, rebuild_sources=self.rebuild_sources
        )

    def sources(self) -> list[Manifest]:
        partitions = batches.list_partitions(self.work)
        return [read_complete_manifest(self.work, SEGMENTS, partition) for partition in partitions]

    def assign_splits(self) -> splits.Splits:
        return splits.build_splits(self.work, self.sources(), self.settings)

    def build(self, *, card: bool = True) -> None:
        """Everything, for every partition."""
        for batch in self.snapshot():
            segment_stage.build_segments(self.raw, self.work, batch.partition, self.settings)
            if rows_stage.has_codec(self.settings):
                encode_stage.build_codes(
                    self.work, batch.partition, self.codec, self.settings, rebuild_sources=self.rebuild_sources
                )
        plan = self.assign_splits()
        partitions = batches.list_partitions(self.work)
        for partition in partitions:
            report = rows_stage.build_dataset(
                self.work, partition, plan, self.settings, rebuild_sources=self.rebuild_sources
            )
            pairs.build_pairs(self.work, report.manifest, self.settings, rebuild_sources=self.rebuild_sources)
        if card:
            card_stage.build_card(self.work, partitions, self.settings)

    # --- what lies there

    def status(self) -> BuildStatus:
        return read_status(self.work, self.discover(), self.codec, self.settings)

    def assert_manifest_valid(self, manifest: Manifest) -> None:
        """What must hold of every manifest of segments."""
        for outcome in (
            checks.seconds_add_up(manifest),
            checks.files_intact(self.work, [(entry.key, entry.sha256) for entry in manifest.files()]),
            checks.texts_present(manifest),
            checks.no_overlap(manifest),
        ):
            assert outcome.passed, outcome

    def segments(self, channel: str = "news", number: int = 1) -> Manifest:
        return read_complete_manifest(self.work, SEGMENTS, PartitionKey(channel, number))

    def rows(self, audio_id: str) -> list[Entry]:
        return [entry for entry in self.segments().entries if entry.audio_id == audio_id]

    def path(self, key: str) -> Path:
        return self.work_dir / key

    def files(self, under: str = "") -> dict[str, str]:
        """Every file below a folder of the work root, and the hash of its content."""
        folder = self.work_dir / under
        paths = sorted(path for path in folder.rglob("*") if path.is_file())
        return {str(path.relative_to(self.work_dir)): hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}

    def modified_times_ns(self, under: str = "") -> dict[str, int]:
        """When each file was last written, in nanoseconds."""
        folder = self.work_dir / under
        return {str(path.relative_to(self.work_dir)): os.stat(path).st_mtime_ns for path in folder.rglob("*.npz")}
