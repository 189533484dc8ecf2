"""From dialogue files to lists that a trainer reads: what the assets and `voice moshi build` both run."""

import contextlib
import dataclasses
import time
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path

from voice_core.fingerprint import sha256
from voice_core.layout import PartitionKey
from voice_core.moshi.aligning import load_aligner
from voice_core.moshi.batching import Dealt, deal_dialogues, read_script
from voice_core.moshi.committing import Speak, Where, build_batch
from voice_core.moshi.manifests import Lists, write_lists
from voice_core.moshi.reading import bounded_lines, read_dialogues
from voice_core.moshi.records import ShardManifest, read_shards
from voice_core.moshi.script import BadLine, Dialogue
from voice_core.moshi.shards import Failure, Maker
from voice_core.settings import Settings
from voice_core.store import Store
from voice_core.synthesis import EngineSpec, Group, Stats, SynthesisOptions, synthesise
from voice_core.synthesis import Failure as NotSpoken
from voice_core.tts import chosen_engine, held
from voice_core.tts.base import Speech, Utterance

SUFFIXES = (".jsonl", ".ndjson")


@dataclass(frozen=True, slots=True)
class ShardReport:
    """What one run over a batch did."""

    manifest: ShardManifest
    stats: Stats
    wall_sec: float


@dataclass(slots=True)
class BuildReport:
    """What a build over all batches did."""

    dealt: Dealt
    lists: Lists
    spoken: int = 0  # utterances
    speech_sec: float = 0.0
    failures: dict[str, str] = field(default_factory=dict)  # batch → what it died of


def read_scripts(scripts: Store, only: Collection[str] = (), most: int | None = None) -> Iterator[Dialogue | BadLine]:
    """The dialogues of all files below a folder, or of some, and what is wrong with lines that are none.

    A line is named by its file, too. Of an id that several files have, the first is taken. `most` ends after so many
    dialogues.
    """
    names = sorted(item.key for item in scripts.listing() if item.key.endswith(SUFFIXES) or item.key in only)
    seen: dict[str, str] = {}  # id → file; of one file's, the reader tells
    for name in (item for item in names if not only or item in only):
        with scripts.open(name) as file:
            for found in read_dialogues(bounded_lines(file)):
                if most is not None and len(seen) >= most:
                    return
                if isinstance(found, BadLine):
                    yield dataclasses.replace(found, message=f"{name}, {found.message}")
                elif seen.setdefault(found.id, name) != name:
                    told = (
                        f"{name}, line {found.line}: {seen[found.id]} has a dialogue {found.id}, too; that one is taken"
                    )
                    yield BadLine(found.line, "duplicate_id", told, found.id)
                else:
                    yield found


def deal_scripts(
    scripts: Store, work: Store, settings: Settings, *, only: Collection[str] = (), most: int | None = None
) -> Dealt:
    """Bring the batches up to date with the dialogue files."""
    moshi = settings.moshi
    return deal_dialogues(work, moshi.name, read_scripts(scripts, only, most), moshi.batch_dialogues)


def engine_of(settings: Settings) -> EngineSpec:
    """The engine of the settings, to be loaded by whoever speaks."""
    name, options = chosen_engine(settings)
    engine = EngineSpec(name, options).load()  # not its weights
    return EngineSpec(name, options, _MEMORY_GB.get(name, 1.0), engine.capabilities.thread_safe)


_MEMORY_GB = {"hibari": 0.3, "noise": 0.1, "indextts2": 7.0}


def build_shards(
    work: Store,
    partition: PartitionKey,
    settings: Settings,
    options: SynthesisOptions | None = None,
    engine: EngineSpec | None = None,
    *,
    verify: bool = False,
) -> ShardReport:
    """Speak what a batch lacks, and commit it. Raises LookupError for a batch that was never dealt, and
    EngineUnavailableError."""
    began = time.monotonic()
    options = options or SynthesisOptions()
    spec = engine or engine_of(settings)
    items = read_script(work, partition)
    aligner = load_aligner(settings.moshi)
    maker = Maker.of(spec.load(), aligner, _recordings(items, settings))
    stats = Stats()
    speak = _speaking(spec, options, stats, f"speaking {partition}")
    workers = 1 if options.backend == "serial" else settings.workers
    manifest = build_batch(
        work, partition, items, maker, aligner, settings.moshi, speak, workers=workers, verify=verify
    )
    return ShardReport(manifest, stats, time.monotonic() - began)


def _recordings(items: Iterable[Dialogue | BadLine], settings: Settings) -> dict[str, str]:
    """Hashes of the recordings that are voices, by what scripts call them: another recording is another voice."""
    moshi = settings.moshi
    used = {moshi.assistant_voice, moshi.user_voice}
    used |= {turn.voice for item in items if isinstance(item, Dialogue) for turn in item.turns if turn.voice}
    paths = {voice: Path(settings.indextts2.voices.get(voice, voice)) for voice in sorted(used)}
    return {voice: sha256(path.read_bytes()) for voice, path in paths.items() if path.is_file()}


def _speaking(spec: EngineSpec, options: SynthesisOptions, stats: Stats, label: str) -> Speak:
    def speak(asked: Sequence[tuple[Where, Utterance]]) -> Iterator[tuple[Where, Speech | Failure]]:
        grouped = [(index, [*turns]) for index, turns in groupby(asked, key=lambda item: item[0][0])]
        groups = (Group(str(index), tuple(said for _, said in turns)) for index, turns in grouped)
        places = {str(index): [where for where, _ in turns] for index, turns in grouped}
        run = dataclasses.replace(options, total=len(asked), label=label, ordered=False)
        with held(spec.load(), label) as there:
            placed = dataclasses.replace(spec, options={**spec.options, **there})
            with contextlib.closing(synthesise(groups, placed, run, stats)) as spoken:
                for group in spoken:
                    for where, said in zip(places[group.key], group.speeches, strict=True):
                        yield where, _failure(said) if isinstance(said, NotSpoken) else said

    return speak


def _failure(said: NotSpoken) -> Failure:
    tries = "" if said.attempts == 1 else f" (tried {said.attempts} times)"
    return Failure(f"{said.message}{tries}", f"speech_{said.reason}")


def finish_lists(work: Store, partitions: Iterable[PartitionKey], settings: Settings) -> Lists:
    """Write the trainer's lists over all batches that are there."""
    found = (read_shards(work, partition) for partition in partitions)
    return write_lists(work, (item for item in found if item is not None), settings.moshi)


def build(
    scripts: Store,
    work: Store,
    settings: Settings,
    options: SynthesisOptions | None = None,
    *,
    only: Collection[str] = (),
    most: int | None = None,
    verify: bool = False,
) -> BuildReport:
    """Deal, speak what is not there yet, and write the lists. A batch that fails costs itself alone."""
    dealt = deal_scripts(scripts, work, settings, only=only, most=most)
    engine = engine_of(settings)
    spoken, speech_sec = 0, 0.0
    failures: dict[str, str] = {}
    for partition in dealt.partitions:
        try:
            report = build_shards(work, partition, settings, options, engine, verify=verify)
        except (LookupError, ValueError, OSError) as error:
            failures[str(partition)] = f"{type(error).__name__}: {error}"
            continue
        spoken += report.stats.utterances
        speech_sec += report.stats.speech_sec
    return BuildReport(dealt, finish_lists(work, dealt.partitions, settings), spoken, speech_sec, failures)
