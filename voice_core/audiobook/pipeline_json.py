"""Phase 4 of an audiobook pipeline: speaks the chunk files that a `pipeline.json` lists, and merges the results."""

import json
import wave
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from voice_core.audio.pcm import Pcm16
from voice_core.audiobook.audio_manifest import ChunkAudioRow, mos_score
from voice_core.audiobook.audio_stage import decode_flac
from voice_core.audiobook.chunk_manifest import STAGE, BookManifest, ChunkRow
from voice_core.audiobook.pipeline_file import merge_results, read_chunk_paths
from voice_core.audiobook.speech import ChunkAudioReport, build_chunk_audio
from voice_core.audiobook.text.speakable import find_language_problem, find_refusals
from voice_core.fingerprint import fingerprint, sha256
from voice_core.layout import BookKey, manifest_key, slug
from voice_core.settings import Settings
from voice_core.storage.distributed_lock import hold_lock
from voice_core.storage.store import Store
from voice_core.synthesis import EnginePool, EngineSpec, SynthesisOptions
from voice_core.synthesis.configured import engine_spec
from voice_core.tts.base import SpeechEngine

AUDIO_FOLDER = "artifacts/audio"
"""Folder of the WAV files, beside the pipeline.json."""
_TIER2_TESTS = ("words",)


@dataclass(slots=True)
class PipelineReport:
    """What was done for a book. `failed` has the error of each chunk without audio, by the chunk's number, from 1.
    `spoken` counts the takes of this run, `reused` the chunks with the speech of an earlier one."""

    file_id: str
    chunks: int
    failed: dict[int, str] = field(default_factory=dict)
    exceptions: int = 0  # chunks with audio that failed a test
    spoken: int = 0
    reused: int = 0
    audio: ChunkAudioReport | None = None

    @property
    def succeeded(self) -> int:
        return self.chunks - len(self.failed)

    @property
    def failures(self) -> list[str]:
        """A line for each chunk without audio."""
        return [f"chunk {number}: {error}" for number, error in sorted(self.failed.items())]


def speak_pipeline(
    json_path: Path,
    file_id: str,
    settings: Settings,
    workers: int = 0,
    *,
    work: Store | None = None,
    options: SynthesisOptions | None = None,
    engine: EngineSpec | None = None,
    engine_pool: EnginePool | None = None,
) -> PipelineReport:
    """Speak the chunks of a book, write them as WAV files below `AUDIO_FOLDER`, and merge each result into the file as
    it is finished.

    Speech that an earlier run left in `work`, the work root of the settings by default, is used again. A chunk file
    that is missing, empty or not UTF-8 fails with a message in its entry; the others are spoken. Raises
    PipelineFileError, and as `build_chunk_audio`.
    """
    json_path = Path(json_path)
    paths = read_chunk_paths(json_path, file_id)
    work = work or Store(settings.work_url, create=True)
    report = PipelineReport(file_id, len(paths))
    chunks: list[ChunkRow] = []
    speaker = (engine_pool.engine if engine_pool else engine or engine_spec(settings)).load()
    for number, path in enumerate(paths, 1):
        try:
            chunks.append(_read_chunk(number, path, settings, speaker))
        except ValueError as error:
            report.failed[number] = str(error)
    merging = _Merging(json_path, file_id, work, report)
    merging.merge_failures(dict(report.failed))
    if not chunks:
        return report
    book = pipeline_book(json_path, file_id)
    _write_text(work, book, chunks)
    report.audio = build_chunk_audio(
        work,
        book,
        settings,
        options or SynthesisOptions(workers=workers),
        engine,
        engine_pool=engine_pool,
        verify=True,  # every file is read here, and a corrupt one is spoken again
        on_rows=merging.merge,
    )
    report.spoken, report.reused = report.audio.spoken, report.audio.reused
    return report


def pipeline_book(json_path: Path, file_id: str) -> BookKey:
    """The key of a book of a pipeline in the work root. Books of other files with the same id have other keys."""
    where = fingerprint(str(Path(json_path).resolve()), file_id)[:8]
    return BookKey(slug(f"pipeline-{file_id}-{where}"))


def _read_chunk(number: int, path: Path, settings: Settings, speaker: SpeechEngine) -> ChunkRow:
    """Raises ValueError with the reason where there is no text, and where the engine would leave out a part of it."""
    try:
        text = " ".join(path.read_text(encoding="utf-8-sig").split())
    except OSError as error:
        raise ValueError(f"the chunk file {path} cannot be read ({error.strerror})") from None
    except UnicodeDecodeError as error:
        raise ValueError(f"the chunk file {path} is not UTF-8 (byte {error.start})") from None
    if not any(map(str.isalnum, text)):
        raise ValueError(f"the chunk file {path} has no words")
    group = settings.audiobook
    language = group.language or "en"
    refusals = [refusal.message for refusal in find_refusals(text, speaker)]
    if problem := find_language_problem(speaker, language) or "; ".join(refusals):
        raise ValueError(f"the chunk file {path}: {problem}")
    sentences = json.dumps([[0, len(text)]])
    return ChunkRow(
        f"001-{number:04d}",
        1,
        number - 1,
        "paragraph",
        text,
        text,
        sentences,
        voice=group.voice,
        language=language,
        place=path.name,
    )


def _write_text(work: Store, book: BookKey, chunks: Sequence[ChunkRow]) -> None:
    """Commit the chunks as the book's text."""
    inputs = fingerprint([(chunk.chunk_id, chunk.text, chunk.voice, chunk.language) for chunk in chunks])
    manifest = BookManifest(str(book), True, inputs, chapters=((str(book), 1),), rows=tuple(chunks))
    with hold_lock(work, f"{STAGE} {book}") as store:
        store.put(manifest_key(STAGE, book), manifest.to_bytes())


class _Merging:
    """Writes the audio of finished chunks, and merges their entries."""

    def __init__(self, json_path: Path, file_id: str, work: Store, report: PipelineReport) -> None:
        self._path, self._file_id, self._work, self._report = json_path, file_id, work, report
        self._folder = json_path.parent / AUDIO_FOLDER
        self._began = _now()

    def merge_failures(self, failed: dict[int, str]) -> None:
        if failed:
            entries = {number: self._entry(number, "failed", errors=[error]) for number, error in failed.items()}
            merge_results(self._path, self._file_id, entries)

    def merge(self, rows: Sequence[ChunkAudioRow]) -> None:
        entries: dict[int, dict[str, Any]] = {}
        for row in rows:
            number = int(row.chunk_id.rpartition("-")[2])
            errors = [message for _, message in json.loads(row.exceptions)]
            if not row.spoken:
                self._report.failed[number] = row.message
                entries[number] = self._entry(number, "failed", errors=[row.message])
                continue
            self._report.exceptions += bool(errors)
            metrics = {"validation": _validation(row), "takes": row.takes}
            entry = self._entry(number, "success", self._write_audio(number, row), metrics, errors)
            entries[number] = entry | {"mos_score": mos_score(row)}
        if entries:
            merge_results(self._path, self._file_id, entries)

    def _write_audio(self, number: int, row: ChunkAudioRow) -> str:
        """Write the WAV file of a chunk. Returns its path from the folder of the pipeline.json."""
        data = self._work.get(row.key)
        if sha256(data) != row.sha256:
            raise ValueError(f"{self._work.url}/{row.key} is not the file that was committed: run the command again")
        name = f"{slug(self._file_id)}_chunk_{number:04d}.wav"
        self._folder.mkdir(parents=True, exist_ok=True)
        part = self._folder / f".{name}.part"
        write_wav(part, *decode_flac(data))
        part.replace(self._folder / name)
        return f"{AUDIO_FOLDER}/{name}"

    def _entry(
        self,
        number: int,
        status: str,
        audio_path: str | None = None,
        metrics: dict[str, Any] | None = None,
        errors: Sequence[str] = (),
    ) -> dict[str, Any]:
        return {
            "chunk_id": f"chunk_{number}",
            "audio_path": audio_path,
            "status": status,
            "mos_score": None,
            "metrics": metrics or {"validation": {}},
            "errors": list(errors),
            "timestamps": {"start": self._began, "end": _now()},
        }


def _validation(row: ChunkAudioRow) -> dict[str, Any]:
    """The measures of each tier that ran, whether they were passed, and the messages of the tests that were not."""
    metrics = json.loads(row.metrics)
    failures = json.loads(row.exceptions)
    result: dict[str, Any] = {}
    for tier in ("tier1", "tier2"):
        if tier in metrics:
            own = {test: message for test, message in failures if (test in _TIER2_TESTS) == (tier == "tier2")}
            result[tier] = {"passed": not own, "failures": own, **metrics[tier]}
    return result


def write_wav(path: Path, pcm: Pcm16, sample_rate_hz: int) -> None:
    """Write mono 16-bit audio."""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(sample_rate_hz)
        file.writeframes(pcm.astype("<i2").tobytes())


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
