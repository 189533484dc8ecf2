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
from voice_core.audiobook.pipeline_file import audio_path, merge_results, read_chunk_paths, remove_stale_results
from voice_core.audiobook.pipeline_text import chunk_number, pipeline_book, read_chunks, write_text
from voice_core.audiobook.speech import ChunkAudioReport, build_chunk_audio
from voice_core.audiobook.speech_files import read_speech
from voice_core.audiobook.text.lexicon import load_lexicon
from voice_core.layout import BookKey
from voice_core.settings import Settings
from voice_core.storage.store import Store
from voice_core.synthesis import EnginePool, EngineSpec, SynthesisOptions
from voice_core.synthesis.configured import engine_spec

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
    """Speak the chunks of a book, write them as WAV files (`audio_path`), and merge each result into the file as
    it is finished.

    Numbers, abbreviations and the words of the lexicon are spoken as in other books. Speech that an earlier run left in
    `work`, the work root of the settings by default, is used again. A chunk file that is missing, empty or not UTF-8
    fails with a message in its entry; the others are spoken. Entries of chunks that the list does not have any more are
    removed, with their audio. Raises PipelineFileError, and as `build_chunk_audio`.
    """
    json_path = Path(json_path)
    paths = read_chunk_paths(json_path, file_id)
    remove_stale_results(json_path, file_id)
    work = work or Store(settings.work_url, create=True)
    report = PipelineReport(file_id, len(paths))
    speaker = (engine_pool.engine if engine_pool else engine or engine_spec(settings)).load()
    book = pipeline_book(json_path, file_id)
    lexicon = load_lexicon(settings.audiobook.lexicon)
    rows = read_chunks(paths, book, file_id, settings.audiobook, speaker, lexicon)
    merging = _Merging(json_path, file_id, work, book, speaker.sample_rate_hz, report)
    merging.merge_failures({number: row.message for number, row in enumerate(rows, 1) if not row.is_spoken})
    if not any(row.is_spoken for row in rows):
        return report
    write_text(work, book, rows, json_path.name, file_id)
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


class _Merging:
    """Writes the audio of finished chunks, and merges their entries."""

    def __init__(
        self, json_path: Path, file_id: str, work: Store, book: BookKey, sample_rate_hz: int, report: PipelineReport
    ) -> None:
        self._path, self._file_id, self._work, self._book, self._report = json_path, file_id, work, book, report
        self._sample_rate_hz = sample_rate_hz
        self._began = _now()

    def merge_failures(self, failed: dict[int, str]) -> None:
        self._report.failed |= failed
        if failed:
            entries = {number: self._entry(number, "failed", errors=[error]) for number, error in failed.items()}
            merge_results(self._path, self._file_id, entries)

    def merge(self, rows: Sequence[ChunkAudioRow]) -> None:
        entries: dict[int, dict[str, Any]] = {}
        for row in rows:
            number = chunk_number(row.chunk_id)
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
        pcm = read_speech(self._work, self._book, row, self._sample_rate_hz)
        name = audio_path(self._path, self._file_id, number)
        target = self._path.parent / name
        target.parent.mkdir(parents=True, exist_ok=True)
        part = target.with_name(f".{target.name}.part")
        write_wav(part, pcm, self._sample_rate_hz)
        part.replace(target)
        return name

    def _entry(
        self,
        number: int,
        status: str,
        path: str | None = None,
        metrics: dict[str, Any] | None = None,
        errors: Sequence[str] = (),
    ) -> dict[str, Any]:
        return {
            "chunk_id": f"chunk_{number}",
            "audio_path": path,
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
