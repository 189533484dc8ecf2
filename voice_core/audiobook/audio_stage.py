"""The stage that speaks a book: chunks without valid speech are spoken, examined, tried again, and committed."""

import contextlib
import dataclasses
import json
import logging
from array import array
from collections.abc import Callable, Generator, MutableMapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from voice_core.audio.pcm import Pcm16, flac_bytes, resample, to_pcm16
from voice_core.audiobook.audio_manifest import STAGE, ChunkAudioManifest, ChunkAudioRow
from voice_core.audiobook.speaking import SpeakFunction, VoiceGains
from voice_core.audiobook.speech_files import decode_speech
from voice_core.audiobook.takes import TRANSIENT_REASONS, SpeechPlan, SpeechTask
from voice_core.audiobook.validation.examine import Examination, Examiner
from voice_core.compute.workers import map_stream
from voice_core.fingerprint import sha256
from voice_core.layout import BookKey, manifest_key, stage_prefix
from voice_core.stages.commit import CheckpointWriter, commit_manifest
from voice_core.stages.files import check_files, list_sizes
from voice_core.stages.packed_rows import MappedSequence, row_store
from voice_core.storage.store import ObjectNotFoundError, Store
from voice_core.synthesis.types import SynthesisFailure
from voice_core.tts.base import Speech, Utterance

_WRITTEN_AT_ONCE = 32  # files or chunks

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class SpokenTake:
    """A take as the engine gave it, or the file of one that was spoken earlier. `number` is that of the chunk."""

    number: int
    task: SpeechTask
    take: int
    key: str
    sampled: bool
    result: Speech | SynthesisFailure | bytes

    @property
    def utterance(self) -> Utterance:
        return self.task.utterance(self.take)


@dataclass(frozen=True, slots=True)
class ExaminedTake:
    """A take's row, and its file unless the store has it. `number` is that of the chunk."""

    number: int
    row: ChunkAudioRow
    deviation: float = 0.0
    flac: bytes | None = None
    can_retry: bool = True

    @property
    def rank(self) -> tuple[bool, int, float, int]:
        """The smaller, the better."""
        return not self.row.spoken, len(json.loads(self.row.exceptions)), self.deviation, self.row.take


@dataclass(slots=True)
class _Tries:
    """The takes of a chunk so far. `cut_short` says why a retry could not be made that the next run can make."""

    count: int
    best: ExaminedTake
    last_sha256: str
    cut_short: str = ""

    def row(self) -> ChunkAudioRow:
        """The row of the best take. Without a fingerprint, the next run does not keep it: it makes the retries."""
        row = dataclasses.replace(self.best.row, takes=self.count)
        if not row.spoken:
            return dataclasses.replace(row, sha256="")
        return dataclasses.replace(row, fingerprint="", message=self.cut_short) if self.cut_short else row


def find_intact_files(store: Store, book: BookKey, old: ChunkAudioManifest | None, *, verify: bool = False) -> set[str]:
    """Keys of the files that are there in the committed size; with `verify`, or after a killed run, in content.

    Freed files count as if they were there.
    """
    if old is None:
        return set()
    freed = {row.key: row.sha256 for row in old.rows if row.freed}
    files = {key: listed for row in old.rows for key, listed in row.files().items()}
    sizes = list_sizes(store, stage_prefix(STAGE, book))
    states = check_files(store, files, sizes, freed, verify=verify or not old.complete)
    return {key for key, state in states.items() if state.counts_as_present}


def examine_take(spoken: SpokenTake, examiner: Examiner, sample_rate_hz: int) -> ExaminedTake:
    """The row and the file of a take. Pure, except for recogniser and aligner."""
    task, result = spoken.task, spoken.result
    row = ChunkAudioRow(
        "",
        task.fingerprint,
        words_digest=task.chunk.words_digest,
        voice=task.chunk.voice,
        first_take=task.first_take,
        take=spoken.take,
        seed=task.take_seed(spoken.take),
    )
    if isinstance(result, SynthesisFailure):
        failed = dataclasses.replace(row, reason=f"speech_{result.reason}", message=result.description)
        return ExaminedTake(spoken.number, failed, can_retry=False)
    if isinstance(result, bytes):
        (pcm, _), data = decode_speech(result), result
    else:
        if not np.isfinite(result.audio).all():
            broken = "the engine returned samples that are not finite"
            return ExaminedTake(spoken.number, dataclasses.replace(row, reason="speech_unusable", message=broken))
        pcm = to_pcm16(resample(result.audio, result.sample_rate_hz, sample_rate_hz))
        data = flac_bytes(pcm, sample_rate_hz)
    found = examiner.examine(pcm, sample_rate_hz, task.chunk, sampled=spoken.sampled)
    if found.unusable:
        silent = dataclasses.replace(row, reason="speech_unusable", message=found.unusable, sha256=sha256(data))
        return ExaminedTake(spoken.number, silent)
    return ExaminedTake(
        spoken.number,
        dataclasses.replace(row, spoken=True, **_columns(spoken.key, data, pcm, found)),
        found.deviation,
        None if isinstance(result, bytes) else data,
    )


def _columns(key: str, data: bytes, pcm: Pcm16, found: Examination) -> dict[str, Any]:
    words = [[word.text, word.start_sec, word.end_sec] for word in found.alignment.words]
    return {
        "sample_count": len(pcm),
        "key": key,
        "sha256": sha256(data),
        "size_bytes": len(data),
        "words": json.dumps(words, ensure_ascii=False),
        "approximate": found.alignment.approximate,
        "metrics": found.metrics_json,
        "exceptions": json.dumps([list(item) for item in found.failures], ensure_ascii=False),
    }


class SpeechStage:
    """Speaks what a plan lacks, and commits it. `store` is locked by the caller."""

    def __init__(
        self,
        store: Store,
        plan: SpeechPlan,
        examiner: Examiner,
        speak: SpeakFunction,
        *,
        sample_rate_hz: int,
        gains: VoiceGains,
        workers: int = 1,
        on_rows: Callable[[Sequence[ChunkAudioRow]], None] = lambda rows: None,
    ) -> None:
        """Takes are examined in `workers` processes: 0 means one per core, 1 this process. `on_rows` gets the rows of
        finished chunks when their files are written, those that are kept first."""
        self.retries = 0
        self._on_rows = on_rows
        self._store, self._plan, self._examiner, self._speak = store, plan, examiner, speak
        self._sample_rate_hz, self._gains, self._workers = sample_rate_hz, gains, workers
        self._to_do, self._equal = plan.to_do()
        self._rows: MutableMapping[int, ChunkAudioRow] = row_store(len(plan.chunks))
        self._rows.update({**plan.reusable, **plan.kept})
        self._tries: dict[int, _Tries] = {}  # by number of the chunk
        self._files: dict[str, bytes] = {}  # to be written
        self._finished: list[int] = []  # chunks whose files are among these

    def run(self) -> ChunkAudioManifest:
        """Speak, examine and commit. Files that no row lists are removed at the end."""
        key = manifest_key(STAGE, self._plan.book)
        checkpoint = CheckpointWriter(self._store, key, self._draft)
        checkpoint.write()
        with checkpoint:
            self._on_rows([self._rows[index] for index in sorted(self._plan.kept)])
            try:
                numbers: Sequence[int] = self._to_do
                while numbers:
                    numbers = self._run_round(numbers, checkpoint)
                self._write_files()
            except BaseException as error:
                if not isinstance(error, Exception):
                    self._write_files()  # the checkpoint that follows lists them
                raise
        manifest = self._draft(complete=True)
        listed = {key for row in manifest.rows for key in row.files()}
        commit_manifest(self._store, key, manifest, stage_prefix(STAGE, self._plan.book), listed)
        return manifest

    def _run_round(self, numbers: Sequence[int], checkpoint: CheckpointWriter) -> list[int]:
        """Speak and examine one take of each of these chunks. Returns those of the next round."""
        again: list[int] = []
        examine = partial(examine_take, examiner=self._examiner, sample_rate_hz=self._sample_rate_hz)
        with (
            contextlib.closing(self._spoken(numbers)) as spoken,
            contextlib.closing(map_stream(examine, spoken, self._workers, name=_name)) as examined,
        ):
            for item in examined:
                if self._add(item):
                    again.append(item.number)
                else:
                    self._finished.append(item.number)
                if max(len(self._files), len(self._finished)) >= _WRITTEN_AT_ONCE:
                    self._write_files()
                checkpoint.write_if_due()
        self.retries += len(again)
        return sorted(again)

    def _spoken(self, numbers: Sequence[int]) -> Generator[SpokenTake, None, None]:
        """The next takes of these chunks: from their files where they were spoken before, others from the engine."""
        missing = array("q")
        for number in numbers:
            spoken = self._next_take(number)
            data = self._read_earlier(spoken.key)
            if data is None:
                missing.append(number)
            else:
                yield dataclasses.replace(spoken, result=data)
        requests = MappedSequence(lambda number: (number, self._next_take(number).utterance), missing)
        for number, result in self._speak(requests) if requests else ():
            yield dataclasses.replace(self._next_take(number), result=result)

    def _next_take(self, number: int) -> SpokenTake:
        """The next take of a chunk, not spoken yet."""
        task, tries = self._plan.tasks[number], self._tries.get(number)
        take = task.first_take + (tries.count if tries else 0)
        sampled = self._examiner.is_sampled(task.identity)
        return SpokenTake(number, task, take, task.take_key(self._plan.book, take), sampled, b"")

    def _read_earlier(self, key: str) -> bytes | None:
        """The file of a take that the old manifest lists; None where it is not there or not what was committed."""
        row = self._plan.files.get(key)
        if row is None:
            return None
        try:
            data = self._store.get(key)
        except ObjectNotFoundError:
            return None
        return data if sha256(data) == row.sha256 else None

    def _add(self, item: ExaminedTake) -> bool:
        """Note a take. Returns whether another one is to be spoken."""
        tries = self._tries.get(item.number)
        digest = item.row.sha256
        same = tries is not None and digest != "" and digest == tries.last_sha256  # the engine ignores the seed
        if tries is None:
            tries = self._tries[item.number] = _Tries(1, item, digest)
        else:
            tries.count += 1
            tries.last_sha256 = digest
            if item.row.reason in TRANSIENT_REASONS:
                tries.cut_short = f"take {item.row.take + 1} could not be spoken ({item.row.message})"
                if not tries.best.row.spoken:
                    tries.best = item
            elif item.rank < tries.best.rank:
                tries.best = item
        if tries.best is item and item.flac is not None:
            self._files[item.row.key] = item.flac
            tries.best = dataclasses.replace(item, flac=None)
        failed = not item.row.spoken or item.row.exceptions != "[]"
        return failed and item.can_retry and not same and tries.count <= self._examiner.config.max_retries

    def _write_files(self) -> None:
        """Write the files that wait, and the rows of the chunks that are finished with them."""
        self._store.put_many(self._files)
        self._files.clear()
        written: list[int] = []
        for number in self._finished:
            tries, indices = self._tries.pop(number), [number, *self._equal.get(number, ())]
            row = tries.row()
            written += indices
            for index in indices:
                chunk_id = self._plan.chunks[index].chunk_id
                earlier = self._plan.reusable.get(index)
                if not row.spoken and earlier is not None:  # valid speech is not given up for a take that failed
                    _log.warning("chunk %s keeps its earlier take: %s", chunk_id, row.message)
                    self._rows[index] = earlier
                    continue
                self._rows[index] = dataclasses.replace(row, chunk_id=chunk_id)
        self._finished.clear()
        self._on_rows([self._rows[index] for index in written])

    def _draft(self, *, complete: bool = False) -> ChunkAudioManifest:
        plan = self._plan
        return ChunkAudioManifest(
            str(plan.book),
            complete,
            plan.inputs,
            self._sample_rate_hz,
            {**plan.parameters, **self._gains.parameters},
            self._gains.gains_db,
            MappedSequence(self._rows.__getitem__, sorted(self._rows)),
        )


def _name(spoken: SpokenTake) -> str:
    return f"chunk {spoken.task.chunk.chunk_id}"
