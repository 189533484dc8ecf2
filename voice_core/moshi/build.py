"""From dialogue files to the lists that a trainer reads: what the assets and `voice moshi build` both run."""

import contextlib
import dataclasses
import time
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from itertools import groupby
from typing import Protocol

from voice_core.compute.workers import WorkerKilledError
from voice_core.error_text import describe_exception
from voice_core.layout import PartitionKey, stage_prefix
from voice_core.moshi.batch_plan import ModelVersions
from voice_core.moshi.batches import BatchAssignment, DialogueSource, assign_dialogues, read_script
from voice_core.moshi.dialogue_assembly import LEVEL_UNKNOWN
from voice_core.moshi.recognition import load_moshi_aligner
from voice_core.moshi.script import BadDialogueLine, Dialogue
from voice_core.moshi.script_parser import bounded_lines, read_dialogues
from voice_core.moshi.shard_manifest import STAGE, ShardManifest, read_shard_manifest
from voice_core.moshi.shard_stage import build_batch
from voice_core.moshi.synthesis_types import SPOKEN, SpeechRequests, TurnIndex, UtteranceIndex
from voice_core.moshi.trainer_manifest import TrainerManifestReport, write_trainer_manifests
from voice_core.moshi.voice_checks import check_voices, hash_recordings
from voice_core.recognition.word_times import Aligner
from voice_core.settings import ConfigurationError, Settings
from voice_core.storage.distributed_lock import LockLostError, hold_lock
from voice_core.storage.store import Store
from voice_core.synthesis import (
    EnginePool,
    EngineSpec,
    SynthesisFailure,
    SynthesisOptions,
    SynthesisStats,
    UtteranceGroup,
)
from voice_core.synthesis.configured import engine_spec
from voice_core.synthesis.sizing import physical_cores
from voice_core.synthesis.speech_cache import SpeechCache
from voice_core.synthesis.voice_levels import remove_damaged_levels
from voice_core.tts.base import Speech

DIALOGUE_SUFFIXES = (".jsonl", ".ndjson")


@dataclass(frozen=True, slots=True)
class ShardReport:
    """What one run over a batch did. `spoken` counts turns and `speech_sec` is their length; `stats` also counts the
    sentences of the voices whose levels were measured."""

    manifest: ShardManifest
    stats: SynthesisStats
    wall_sec: float
    spoken: int = 0
    speech_sec: float = 0.0
    voices_measured: int = 0


@dataclass(slots=True)
class MoshiBuildReport:
    """What a build over all batches did."""

    assignment: BatchAssignment
    lists: TrainerManifestReport = field(default_factory=TrainerManifestReport)
    spoken: int = 0  # turns
    speech_sec: float = 0.0
    voices_measured: int = 0
    failures: dict[str, str] = field(default_factory=dict)  # error by batch


def read_scripts(
    scripts: Store, only: Collection[str] = (), most: int | None = None
) -> Iterator[Dialogue | BadDialogueLine]:
    """The dialogues of all files below a folder, or of some, and the lines that are not dialogues.

    Where several files have the same id, the first is taken. `most` ends after so many dialogues.
    """
    names = sorted(only) or sorted(item.key for item in scripts.listing() if item.key.endswith(DIALOGUE_SUFFIXES))
    seen: dict[int, str] = {}
    count = 0
    for name in names:
        with scripts.open(name) as file:
            for found in read_dialogues(bounded_lines(file), name, seen):
                if most is not None and count >= most:
                    return
                count += isinstance(found, Dialogue)
                yield found


def assign_scripts(
    scripts: Store,
    work: Store,
    settings: Settings,
    *,
    only: Collection[str] = (),
    most: int | None = None,
    replace_source: bool = False,
) -> BatchAssignment:
    """Bring the batches up to date with the dialogue files. Raises as `assign_dialogues`."""
    moshi = settings.moshi
    source = " ".join(f"{scripts.url}/{name}" for name in sorted(only)) or scripts.url
    given = DialogueSource(source, partial=most is not None, replace_source=replace_source)
    return assign_dialogues(work, moshi.name, read_scripts(scripts, only, most), moshi.batch_dialogues, given)


def open_engine_pool(
    settings: Settings, options: SynthesisOptions | None = None, engine: EngineSpec | None = None
) -> EnginePool:
    """Engines for any number of batches. Unless the options say otherwise, `VOICE_WORKERS` processes align and mix
    beside them, or half of the cores: with the embedded engine both take about as long."""
    options = options or SynthesisOptions()
    if not options.postprocess_workers:
        cores = physical_cores()
        beside = 1 if options.backend == "serial" or cores == 1 else settings.workers or max(2, cores // 2)
        options = dataclasses.replace(options, postprocess_workers=beside)
    label = f"speaking {settings.moshi.name}"
    return EnginePool(engine or engine_spec(settings), dataclasses.replace(options, label=label))


def build_shards(
    work: Store,
    partition: PartitionKey,
    settings: Settings,
    options: SynthesisOptions | None = None,
    engine: EngineSpec | None = None,
    aligner: Aligner | None = None,
    *,
    engine_pool: EnginePool | None = None,
    verify: bool = False,
) -> ShardReport:
    """Speak what a batch lacks, and commit it.

    An `engine_pool` keeps its engines loaded over several batches; its engine and options are used then. Raises
    LookupError for a batch that does not exist, ConfigurationError for a role's voice that the engine lacks, and
    EngineUnavailableError.
    """
    if engine_pool is None:
        with open_engine_pool(settings, options, engine) as own:
            return build_shards(work, partition, settings, aligner=aligner, engine_pool=own, verify=verify)
    began = time.monotonic()
    items = read_script(work, partition)
    aligner = aligner or load_moshi_aligner(settings.moshi)
    speaker = engine_pool.engine.load()
    check_voices(speaker, settings.moshi)
    models = ModelVersions.from_models(speaker, aligner, *hash_recordings(speaker, items, settings.moshi))
    stats = SynthesisStats()
    counter = _SpeechCounter()
    speak = _make_speak_function(engine_pool, stats, counter, f"speaking {partition}")
    cache = (
        SpeechCache(work, stage_prefix(SPOKEN, partition), models.speech_source)
        if speaker.capabilities.keeps_one_voice
        else None
    )
    manifest = build_batch(
        work,
        partition,
        items,
        models,
        aligner,
        settings.moshi,
        partial(cache.speak_missing, speak=partial(speak, by_voice=True)) if cache else speak,
        workers=engine_pool.options.postprocess_workers,
        verify=verify,
    )
    if cache:
        cache.clear(keep=_unspoken_turns(manifest))
    wall_sec = time.monotonic() - began
    return ShardReport(manifest, stats, wall_sec, counter.turns, counter.speech_sec, len(counter.voices))


@dataclass(slots=True)
class _SpeechCounter:
    """What was spoken, by purpose."""

    turns: int = 0
    speech_sec: float = 0.0
    voices: set[str] = field(default_factory=set)  # whose levels are measured

    def count(self, where: UtteranceIndex, speech: Speech) -> None:
        if isinstance(where, TurnIndex):
            self.turns += 1
            self.speech_sec += speech.duration_sec
        else:
            self.voices.add(where.voice)


class _Speaking(Protocol):
    def __call__(
        self, requests: SpeechRequests, *, by_voice: bool = False
    ) -> Iterator[tuple[UtteranceIndex, Speech | SynthesisFailure]]: ...


def _make_speak_function(
    engine_pool: EnginePool, stats: SynthesisStats, counter: _SpeechCounter, label: str
) -> _Speaking:
    def speak(
        requests: SpeechRequests, *, by_voice: bool = False
    ) -> Iterator[tuple[UtteranceIndex, Speech | SynthesisFailure]]:
        """Dialogue by dialogue; with `by_voice`, voice by voice through all requests, each result at once."""
        dialogues = [[*turns] for _, turns in groupby(requests, key=lambda item: item[0].group)]
        grouped = [[item] for item in requests] if by_voice else dialogues
        groups = (
            UtteranceGroup(str(number), tuple(utterance for _, utterance in items))
            for number, items in enumerate(grouped)
        )
        ahead = len(grouped) if by_voice else engine_pool.options.planner_buffer
        run = dataclasses.replace(engine_pool.options, planner_buffer=ahead, group_by_voice=by_voice, ordered=False)
        run = dataclasses.replace(run, total=len(requests), label=label)
        with contextlib.closing(engine_pool.synthesise(groups, stats, run)) as spoken:
            for group in spoken:
                for (where, _), result in zip(grouped[int(group.key)], group.speeches, strict=True):
                    if not isinstance(result, SynthesisFailure):
                        counter.count(where, result)
                    yield where, result

    return speak


def _unspoken_turns(manifest: ShardManifest) -> Iterator[TurnIndex]:
    """The turns of the dialogues of which an utterance failed or has no level: the next run uses their speech."""
    for index, (_, rows) in enumerate(manifest.by_dialogue()):
        if any(row.reason.startswith(("speech_", LEVEL_UNKNOWN)) for row in rows):
            yield from (TurnIndex(index, row.turn) for row in rows)


def build_trainer_manifests(
    work: Store, partitions: Iterable[PartitionKey], settings: Settings
) -> TrainerManifestReport:
    """Write the trainer's lists over all finished batches; `incomplete` has the others."""
    missing: list[str] = []

    def there() -> Iterator[ShardManifest]:
        for partition in partitions:
            manifest = read_shard_manifest(work, partition)
            if manifest is None:
                missing.append(str(partition))
            else:
                yield manifest

    with hold_lock(work, f"{STAGE} {settings.moshi.name} lists") as work:
        lists = write_trainer_manifests(work, there(), settings.moshi)
    return dataclasses.replace(lists, incomplete=tuple(sorted({*lists.incomplete, *missing})))


def build(
    scripts: Store,
    work: Store,
    settings: Settings,
    options: SynthesisOptions | None = None,
    *,
    only: Collection[str] = (),
    most: int | None = None,
    replace_source: bool = False,
    verify: bool = False,
) -> MoshiBuildReport:
    """Assign dialogues to batches, speak what is missing, and write the lists. A batch that fails stops no other.

    Raises ConfigurationError, with nothing done, for an unknown aligner or role's voice, and as `assign_dialogues`.
    However it ends, once it has begun to speak the lists name what is there then.
    """
    engine = engine_spec(settings)
    check_voices(engine.load(), settings.moshi)
    aligner = _aligner(settings)
    assignment = assign_scripts(scripts, work, settings, only=only, most=most, replace_source=replace_source)
    remove_damaged_levels(work)
    report = MoshiBuildReport(assignment)
    try:
        with open_engine_pool(settings, options, engine) as engine_pool:
            for partition in assignment.partitions:
                try:
                    shards = build_shards(
                        work, partition, settings, aligner=aligner, engine_pool=engine_pool, verify=verify
                    )
                except (WorkerKilledError, LookupError, ValueError, OSError, LockLostError) as error:
                    report.failures[str(partition)] = describe_exception(error)
                else:
                    report.spoken += shards.spoken
                    report.speech_sec += shards.speech_sec
                    report.voices_measured += shards.voices_measured
    except BaseException:  # a finished batch may have removed what the old lists name
        with contextlib.suppress(OSError, RuntimeError):
            build_trainer_manifests(work, assignment.partitions, settings)
        raise
    report.lists = build_trainer_manifests(work, assignment.partitions, settings)
    return report


def _aligner(settings: Settings) -> Aligner:
    try:
        return load_moshi_aligner(settings.moshi)
    except ValueError as error:
        raise ConfigurationError(str(error)) from None
