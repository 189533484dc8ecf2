"""The work on one chapter, in a worker process: its master, and every format that is encoded from it alone."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from voice_core.audiobook.audiobook_manifest import FileRow
from voice_core.audiobook.mastering.assembly import ChapterAssembly, master_rate, pause_samples
from voice_core.audiobook.mastering.chapter_source import ChapterSource
from voice_core.audiobook.mastering.master import MasteredChapter, master_chapter, read_master
from voice_core.audiobook.output.acx import encode_acx, split_chapter
from voice_core.audiobook.output.encoders import FLAC, MP3, OPUS, Encoding, aac, encode_audio, hash_file
from voice_core.fingerprint import canonical_json
from voice_core.layout import BookKey
from voice_core.settings import AudiobookSettings
from voice_core.storage.scratch import Scratch
from voice_core.storage.store import Store

ChapterFormat = Literal["m4a", "flac", "opus", "mp3", "acx", "recording"]
_BYTES_PER_SAMPLE = 4  # the master, and on a remote store one encoded file at a time


@dataclass(frozen=True, slots=True)
class ChapterTarget:
    """A file to encode. `key` has no extension; ACX adds the number of the part where there are several."""

    format: ChapterFormat
    key: str
    inputs: str
    tags: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ChapterJob:
    """A chapter to master, and what to encode. `inputs` is the hash of the master."""

    store: Store
    book: BookKey
    chapter: ChapterSource
    inputs: str
    gains_db: dict[str, float]
    speech_rate_hz: int
    settings: AudiobookSettings
    targets: tuple[ChapterTarget, ...]
    scratch: Scratch

    @property
    def sample_count(self) -> int:
        """About the length of the master."""
        rate = master_rate(self.speech_rate_hz)
        speech = sum(item.audio.sample_count for item in self.chapter.spoken) * rate // self.speech_rate_hz
        pauses = sum(pause_samples(item, self.settings, rate) for item in self.chapter.spoken)
        edges = self.settings.chapter_head_sec + self.settings.chapter_tail_sec + 1
        return speech + pauses + round(edges * rate)

    @property
    def name(self) -> str:
        return f"chapter {self.chapter.number} of {self.book}"


def run_chapter_job(job: ChapterJob) -> tuple[int, MasteredChapter, list[FileRow]]:
    """Master a chapter and put its files. Returns its number, its master and its files.

    Raises as `ChapterAssembly.blocks`, and OSError.
    """
    assembly = ChapterAssembly(job.store, job.book, job.chapter, job.gains_db, job.speech_rate_hz, job.settings)
    with job.scratch.reserve(job.sample_count * _BYTES_PER_SAMPLE, job.name) as folder:
        raw = folder / "master.pcm"
        master = master_chapter(assembly, job.inputs, raw)
        rows = [row for target in job.targets for row in _encode(job, target, master, assembly.rate_hz, raw)]
    return job.chapter.number, master, rows


def _encode(
    job: ChapterJob, target: ChapterTarget, master: MasteredChapter, rate_hz: int, raw: Path
) -> Iterator[FileRow]:
    if target.format == "acx":
        parts = split_chapter(master, rate_hz)
        for number, part in enumerate(parts, 1):
            key = f"{target.key}{f' part {number}' if len(parts) > 1 else ''}.mp3"
            with job.store.create(key, raw.parent) as path:
                measured = encode_acx(path, raw, part, rate_hz, job.settings, target.tags)
                row = _file_row(job, target, key, path, part.sample_count, canonical_json(measured.to_json()))
            yield row
        return
    encoding = _encodings(job.settings, rate_hz)[target.format]
    key = f"{target.key}.{encoding.extension}"
    with job.store.create(key, raw.parent) as path:
        encode_audio(path, read_master(raw), rate_hz, encoding, target.tags)
        row = _file_row(job, target, key, path, master.sample_count)
    yield row


def _encodings(settings: AudiobookSettings, rate_hz: int) -> dict[str, Encoding]:
    return {"m4a": aac(settings.aac_kbps, rate_hz), "flac": FLAC, "opus": OPUS, "mp3": MP3, "recording": FLAC}


def _file_row(
    job: ChapterJob, target: ChapterTarget, key: str, path: Path, sample_count: int, metrics: str = "{}"
) -> FileRow:
    size = path.stat().st_size
    return FileRow(key, target.format, job.chapter.number, hash_file(path), size, target.inputs, sample_count, metrics)
