"""From dialogue files to lists that a trainer reads: what the assets and `voice moshi build` both run."""

import contextlib
import dataclasses
import time
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from itertools import groupby
from typing import Protocol

from voice_core.compute.workers import WorkerKilledError
from voice_core.layout import PartitionKey
from voice_core.moshi.batches import Dealt, Input, deal_dialogues, read_script
from voice_core.moshi.commit import build_batch
from voice_core.moshi.levels import remove_damaged
from voice_core.moshi.script import BadLine, Dialogue
from voice_core.moshi.script_parser import bounded_lines, read_dialogues
from voice_core.moshi.shard_manifest import STAGE, ShardManifest, read_shards
from voice_core.moshi.shards import Maker
from voice_core.moshi.speech_cache import Spool
from voice_core.moshi.synthesis_types import Asked, Failure, Where, is_turn
from voice_core.moshi.trainer_manifest import Lists, write_lists
from voice_core.moshi.voice_checks import check_voices, recordings
from voice_core.recognition.aligners import Aligner, load_aligner
from voice_core.settings import ConfigurationError, Settings
from voice_core.storage.distributed_lock import LostClaimError, held
from voice_core.storage.store import Store
from voice_core.synthesis import EngineSpec, Group, Stats, Studio, SynthesisOptions
from voice_core.synthesis import Failure as NotSpoken
from voice_core.synthesis.sizing import physical_cores
from voice_core.tts import chosen_engine
from voice_core.tts.base import Speech

SUFFIXES = (".jsonl", ".ndjson")


@dataclass(frozen=True, slots=True)
class ShardReport:
    """What one run over a batch did. `spoken` counts turns and `speech_sec` is how long they are; the sentences of
    `voices_measured`, whose levels were not known, come on top in `stats`."""

    manifest: ShardManifest
    stats: Stats
    wall_sec: float
    spoken: int = 0
    speech_sec: float = 0.0
    voices_measured: int = 0


@dataclass(slots=True)
class BuildReport:
    """What a build over all batches did."""

    dealt: Dealt
    lists: Lists = field(default_factory=Lists)
    spoken: int = 0  # turns
    speech_sec: float = 0.0
    voices_measured: int = 0
    failures: dict[str, str] = field(default_factory=dict)  # batch → what it died of


def read_scripts(scripts: Store, only: Collection[str] = (), most: int | None = None) -> Iterator[Dialogue | BadLine]:
    """The dialogues of all files below a folder, or of some, and what is wrong with lines that are none.

    Of an id that several files have, the first is taken. `most` ends after so many dialogues.
    """
    names = sorted(only) or sorted(item.key for item in scripts.listing() if item.key.endswith(SUFFIXES))
    seen: dict[int, str] = {}
    count = 0
    for name in names:
        with scripts.open(name) as file:
            for found in read_dialogues(bounded_lines(file), name, seen):
                if most is not None and count >= most:
                    return
                count += isinstance(found, Dialogue)
                yield found


def deal_scripts(
    scripts: Store,
    work: Store,
    settings: Settings,
    *,
    only: Collection[str] = (),
    most: int | None = None,
    replaces: bool = False,
) -> Dealt:
    """Bring the batches up to date with the dialogue files. Raises as `deal_dialogues`."""
    moshi = settings.moshi
    source = " ".join(f"{scripts.url}/{name}" for name in sorted(only)) or scripts.url
    given = Input(source, part=most is not None, replaces=replaces)
    return deal_dialogues(work, moshi.name, read_scripts(scripts, only, most), moshi.batch_dialogues, given)


def engine_of(settings: Settings) -> EngineSpec:
    """The engine of the settings, to be loaded by whoever speaks."""
    name, options = chosen_engine(settings)
    engine = EngineSpec(name, options).load()  # not its weights
    return EngineSpec(name, options, _MEMORY_GB.get(name, 1.0), engine.capabilities.thread_safe)


_MEMORY_GB = {"hibari": 0.3, "noise": 0.1, "indextts2": 7.0}


def open_studio(
    settings: Settings, options: SynthesisOptions | None = None, engine: EngineSpec | None = None
) -> Studio:
    """Engines for any number of batches. Unless the options say otherwise, as many processes align and mix beside them
    as `VOICE_WORKERS` says, or half of the cores: with the embedded engine both take about as long."""
    options = options or SynthesisOptions()
    if not options.beside:
        cores = physical_cores()
        beside = 1 if options.backend == "serial" or cores == 1 else settings.workers or max(2, cores // 2)
        options = dataclasses.replace(options, beside=beside)
    label = f"speaking {settings.moshi.name}"
    return Studio(engine or engine_of(settings), dataclasses.replace(options, label=label))


def build_shards(
    work: Store,
    partition: PartitionKey,
    settings: Settings,
    options: SynthesisOptions | None = None,
    engine: EngineSpec | None = None,
    aligner: Aligner | None = None,
    *,
    studio: Studio | None = None,
    verify: bool = False,
) -> ShardReport:
    """Speak what a batch lacks, and commit it.

    Over several batches a `studio` keeps its engines loaded; its engine and options are taken then. Raises LookupError
    for a batch that was never dealt, ConfigurationError for a role's voice that the engine lacks, and
    EngineUnavailableError.
    """
    if studio is None:
        with open_studio(settings, options, engine) as own:
            return build_shards(work, partition, settings, aligner=aligner, studio=own, verify=verify)
    began = time.monotonic()
    items = read_script(work, partition)
    aligner = aligner or load_aligner(settings.moshi)
    speaker = studio.engine.load()
    check_voices(speaker, settings.moshi)
    maker = Maker.of(speaker, aligner, *recordings(speaker, items, settings.moshi))
    stats = Stats()
    tally = _Tally()
    speak = _speaking(studio, stats, tally, f"speaking {partition}")
    spool = Spool(work, partition, maker) if speaker.capabilities.keeps_one_voice else None
    manifest = build_batch(
        work,
        partition,
        items,
        maker,
        aligner,
        settings.moshi,
        partial(spool.through, say=partial(speak, by_voice=True)) if spool else speak,
        workers=studio.options.beside,
        verify=verify,
    )
    if spool:
        spool.empty(manifest)
    wall_sec = time.monotonic() - began
    return ShardReport(manifest, stats, wall_sec, tally.turns, tally.speech_sec, len(tally.voices))


@dataclass(slots=True)
class _Tally:
    """What was said, and what for."""

    turns: int = 0
    speech_sec: float = 0.0
    voices: set[int] = field(default_factory=set)  # whose levels are measured, by number

    def count(self, where: Where, speech: Speech) -> None:
        if is_turn(where):
            self.turns += 1
            self.speech_sec += speech.duration_sec
        else:
            self.voices.add(where[0])


class _Speaking(Protocol):
    def __call__(self, asked: Asked, *, by_voice: bool = False) -> Iterator[tuple[Where, Speech | Failure]]: ...


def _speaking(studio: Studio, stats: Stats, tally: _Tally, label: str) -> _Speaking:
    def speak(asked: Asked, *, by_voice: bool = False) -> Iterator[tuple[Where, Speech | Failure]]:
        """Dialogue by dialogue; or `by_voice`, each voice through all that is asked, and each utterance at once."""
        dialogues = [[*turns] for _, turns in groupby(asked, key=lambda item: item[0][0])]
        grouped = [[item] for item in asked] if by_voice else dialogues
        groups = (Group(str(at), tuple(said for _, said in turns)) for at, turns in enumerate(grouped))
        ahead = len(grouped) if by_voice else studio.options.planner_buffer
        run = dataclasses.replace(studio.options, planner_buffer=ahead, group_by_voice=by_voice, ordered=False)
        run = dataclasses.replace(run, total=len(asked), label=label)
        with contextlib.closing(studio.speak(groups, stats, run)) as spoken:
            for group in spoken:
                for (where, _), said in zip(grouped[int(group.key)], group.speeches, strict=True):
                    if isinstance(said, NotSpoken):
                        yield where, _failure(said)
                    else:
                        tally.count(where, said)
                        yield where, said

    return speak


def _failure(said: NotSpoken) -> Failure:
    tries = "" if said.attempts == 1 else f" (tried {said.attempts} times)"
    return Failure(f"{said.message}{tries}", f"speech_{said.reason}")


def finish_lists(work: Store, partitions: Iterable[PartitionKey], settings: Settings) -> Lists:
    """Write the trainer's lists over all batches that are finished; `incomplete` has those that are not, or of which
    there is nothing yet."""
    missing: list[str] = []

    def there() -> Iterator[ShardManifest]:
        for partition in partitions:
            manifest = read_shards(work, partition)
            if manifest is None:
                missing.append(str(partition))
            else:
                yield manifest

    with held(work, f"{STAGE} {settings.moshi.name} lists") as work:
        lists = write_lists(work, there(), settings.moshi)
    return dataclasses.replace(lists, incomplete=tuple(sorted({*lists.incomplete, *missing})))


def build(
    scripts: Store,
    work: Store,
    settings: Settings,
    options: SynthesisOptions | None = None,
    *,
    only: Collection[str] = (),
    most: int | None = None,
    replaces: bool = False,
    verify: bool = False,
) -> BuildReport:
    """Deal, speak what is not there yet, and write the lists. A batch that fails costs itself alone.

    Raises ConfigurationError, with nothing done, for an aligner or a role's voice that there is not, and as
    `deal_dialogues`. However it ends, once it has begun to speak the lists name what is there then.
    """
    engine = engine_of(settings)
    check_voices(engine.load(), settings.moshi)
    aligner = _aligner(settings)
    dealt = deal_scripts(scripts, work, settings, only=only, most=most, replaces=replaces)
    remove_damaged(work)
    report = BuildReport(dealt)
    try:
        with open_studio(settings, options, engine) as studio:
            for partition in dealt.partitions:
                try:
                    shards = build_shards(work, partition, settings, aligner=aligner, studio=studio, verify=verify)
                except (WorkerKilledError, LookupError, ValueError, OSError, LostClaimError) as error:
                    report.failures[str(partition)] = f"{type(error).__name__}: {error}"
                else:
                    report.spoken += shards.spoken
                    report.speech_sec += shards.speech_sec
                    report.voices_measured += shards.voices_measured
    except BaseException:  # a batch that was finished may have removed what the old lists name
        with contextlib.suppress(OSError, RuntimeError):
            finish_lists(work, dealt.partitions, settings)
        raise
    report.lists = finish_lists(work, dealt.partitions, settings)
    return report


def _aligner(settings: Settings) -> Aligner:
    try:
        return load_aligner(settings.moshi)
    except ValueError as error:
        raise ConfigurationError(str(error)) from None
