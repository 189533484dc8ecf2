"""Freeing space: delete a stage's files where what was made of them is committed, current and whole.

Manifests stay, and a record says which files were freed, so nothing is computed because of it. What is needed again
later is made again to the byte (`restoring`).
"""

import dataclasses
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from voice_core.corpus.checks import files_intact
from voice_core.corpus.dataset import pairs, rows_stage
from voice_core.corpus.dataset.publications import read_publications
from voice_core.corpus.evicted import dataset_stage_name, read_evicted, write_evicted
from voice_core.corpus.manifest import Manifest, read_manifest
from voice_core.corpus.names import CODED, SEGMENTS
from voice_core.corpus.status import ASSETS, PartitionStatus
from voice_core.fingerprint import fingerprint
from voice_core.layout import DatasetLayout, PartitionKey, stage_prefix
from voice_core.settings import Settings
from voice_core.storage.distributed_lock import hold_lock
from voice_core.storage.store import Store

DATASET_FILES = "datasets"
EVICTABLE_STAGES = (SEGMENTS, CODED, DATASET_FILES)


class DerivedFilesDamagedError(RuntimeError):
    """What was made of the files is not whole, so they are not freed. The message names what is wrong."""


@dataclass(frozen=True, slots=True)
class RebuildCost:
    """What it takes to have freed files again, once all that is planned is freed."""

    copied: int = 0  # files that a later stage's files or the dataset's rows give back
    decode_recordings: int = 0
    decode_hours: float = 0.0
    encode_segments: int = 0


@dataclass(frozen=True, slots=True)
class EvictionPlan:
    """What would be freed of one stage of one partition; nothing where there is a `refusal`.

    `files` are SHA-256 by key, `retained` says how many more stay, and why. `version` changes when anything does that
    the plan rests on.
    """

    stage: str
    partition: PartitionKey
    files: Mapping[str, str] = field(default_factory=dict, repr=False)
    size_bytes: int = 0
    retained: str = ""
    rebuild: RebuildCost = RebuildCost()
    refusal: str = ""
    version: str = ""


@dataclass(frozen=True, slots=True)
class _CommittedFiles:
    """What lies in the work root of one partition."""

    segments: Manifest | None
    coded: Manifest | None
    rows: Manifest | None
    pairs: tuple[tuple[str, str], ...]  # (key, SHA-256)
    freed: Mapping[str, str]  # of all stages

    @classmethod
    def read(cls, work: Store, partition: PartitionKey, settings: Settings) -> "_CommittedFiles":
        record = pairs.read_pairs(work, partition, settings)
        freed: dict[str, str] = {}
        for stage in EVICTABLE_STAGES:
            freed |= read_evicted(work, _evicted_record_name(stage, settings), partition)
        return cls(
            read_manifest(work, SEGMENTS, partition),
            read_manifest(work, CODED, partition) if rows_stage.has_codec(settings) else None,
            rows_stage.read_dataset_manifest(work, partition, settings),
            tuple((str(item["key"]), str(item["sha256"])) for item in record.files) if record else (),
            freed,
        )

    @property
    def version(self) -> str:
        manifests = (self.segments, self.coded, self.rows)
        return fingerprint([item.data_version if item else "" for item in manifests], list(self.pairs))

    def files(self, stage: str) -> list[tuple[str, str]]:
        """(key, SHA-256) of everything that a stage committed, freed or not."""
        if stage == DATASET_FILES:
            return [*(rows_stage.list_parquet_files(self.rows) if self.rows else ()), *self.pairs]
        manifest = self.segments if stage == SEGMENTS else self.coded
        return [(entry.key, entry.sha256) for entry in manifest.files()] if manifest else []

    def derived_files(self, stage: str) -> list[tuple[str, str]]:
        """Files that hold what the stage's kept files do; where they were freed themselves, those after them too."""
        if stage == DATASET_FILES:
            return []
        after = self.files(CODED) if stage == SEGMENTS and self.coded else []
        if not after or any(self.freed.get(key) == digest for key, digest in after):
            after += self.files(DATASET_FILES)
        return after


def plan_eviction(
    work: Store,
    partitions: Iterable[PartitionStatus],
    stages: Collection[str],
    settings: Settings,
    *,
    force: bool = False,
) -> list[EvictionPlan]:
    """What could be freed, by partition and stage; where nothing of a stage lies there any more, it is left out.

    A stage is freed only where it, and what is made of it, is current. Files of recordings that are not in the raw
    bucket any more stay. `force` frees datasets that are not published, too.
    """
    plans = []
    for status in partitions:
        known = _CommittedFiles.read(work, status.partition, settings)
        mine = []
        for stage in EVICTABLE_STAGES:
            sizes = _sizes(work, known, stage, status.partition) if stage in stages else {}
            present = {key: digest for key, digest in known.files(stage) if key in sizes}
            if present:
                mine.append(_plan_stage(work, status, known, stage, present, sizes, settings, force))
        evicted_keys = known.freed.keys() | {key for plan in mine for key in plan.files}
        plans += [dataclasses.replace(plan, rebuild=_rebuild_cost(known, plan, evicted_keys)) for plan in mine]
    return plans


def evict_files(work: Store, plan: EvictionPlan, settings: Settings) -> None:
    """Read again all that was made of the plan's files, and if it is whole, delete them.

    Waits while another process works on the partition. Raises `DerivedFilesDamagedError`, and then deletes nothing.
    May be killed at any moment: the same call finishes.
    """
    place = _evicted_record_name(plan.stage, settings)
    with hold_lock(work, str(plan.partition)) as work:
        known = _CommittedFiles.read(work, plan.partition, settings)
        if known.version != plan.version:
            raise DerivedFilesDamagedError(f"{plan.partition} has changed meanwhile: look again at what can be freed")
        outcome = files_intact(work, known.derived_files(plan.stage))
        if not outcome.passed:
            raise DerivedFilesDamagedError(
                f"{plan.partition}: {plan.stage} stays, since what was made of it is not whole: {outcome.message}; "
                "`voice build --verify` mends it"
            )
        write_evicted(work, place, plan.partition, {**read_evicted(work, place, plan.partition), **plan.files})
        work.delete(plan.files)


def _plan_stage(
    work: Store,
    status: PartitionStatus,
    known: _CommittedFiles,
    stage: str,
    present: Mapping[str, str],
    sizes: Mapping[str, int],
    settings: Settings,
    force: bool,
) -> EvictionPlan:
    """`present` are the stage's files that lie there, `sizes` what they take."""
    needed = ASSETS[
        : 3 + EVICTABLE_STAGES.index(stage) if rows_stage.has_codec(settings) else 4 + (stage == DATASET_FILES)
    ]
    unfinished = [f"{name} is {status.states[name]}" for name in needed if not status.states[name].up_to_date]
    undecodable = _undecodable_recordings(status, known)
    refusal, retained, files = "", "", dict(present)
    if unfinished:
        refusal = f"{', '.join(unfinished)}: run `voice build` first"
    elif stage == DATASET_FILES:
        refusal = _dataset_refusal(work, known, undecodable, present, settings, force)
    else:
        manifest = known.segments if stage == SEGMENTS else known.coded
        entries = manifest.files() if manifest else []
        files = {
            entry.key: entry.sha256 for entry in entries if entry.key in present and entry.audio_id not in undecodable
        }
        if len(files) < len(present):
            named = sorted(
                {entry.audio_id for entry in entries if entry.key in present and entry.audio_id in undecodable}
            )
            retained = (
                f"{len(present) - len(files)} files of recordings that the raw bucket lacks: {_abbreviate(named)}"
            )
    if refusal:
        return EvictionPlan(stage, status.partition, refusal=refusal, version=known.version)
    size = sum(sizes[key] for key in files)
    return EvictionPlan(stage, status.partition, files, size, retained, version=known.version)


def _undecodable_recordings(status: PartitionStatus, known: _CommittedFiles) -> set[str]:
    """Recordings that cannot be decoded again."""
    undecodable = {
        item.audio_id
        for item in status.batch.recordings
        if item.vanished or item.adopted or item.trouble or item.audio is None
    }
    recorded = {item.audio_id for item in status.batch.recordings}
    if known.segments:
        undecodable |= {item.audio_id for item in known.segments.recordings if item.status == "vanished"}
        undecodable |= {item.audio_id for item in known.segments.recordings} - recorded
    return undecodable


def _dataset_refusal(
    work: Store,
    known: _CommittedFiles,
    undecodable: set[str],
    present: Mapping[str, str],
    settings: Settings,
    force: bool,
) -> str:
    source = known.coded or known.segments
    last = (
        {e.audio_id for e in source.kept() if e.audio_id in undecodable and e.key in known.freed} if source else set()
    )
    if last:
        return f"its rows are the last copy of recordings that the raw bucket lacks: {_abbreviate(sorted(last))}"
    root = DatasetLayout(settings.dataset).root
    published = {
        (root + str(item["path"]), item["sha256"])
        for place in read_publications(work, settings)
        for item in place.files
    }
    missing = sorted(key for key, digest in present.items() if (key, digest) not in published)
    if missing and not force:
        return f"{len(missing)} files are not published, such as {missing[0]}: `voice publish` first, or --force"
    return ""


def _rebuild_cost(known: _CommittedFiles, plan: EvictionPlan, evicted_keys: Collection[str]) -> RebuildCost:
    """`evicted_keys` are all files that are freed, or will be."""
    segments = known.segments
    if segments is None or plan.refusal:
        return RebuildCost()
    rows_there = known.rows is not None and not any(
        key in evicted_keys for key, _ in rows_stage.list_parquet_files(known.rows)
    )
    in_rows = {(entry.audio_id, entry.index) for entry in known.rows.kept()} if known.rows and rows_there else set()
    copied, decode, encode = 0, set(), 0
    for entry in segments.files():
        coded = CODED + entry.key.removeprefix(SEGMENTS)
        held = (entry.audio_id, entry.index) in in_rows
        if plan.stage == SEGMENTS and entry.key in plan.files:
            if held or (entry.kept and known.coded and coded not in evicted_keys):
                copied += 1
            else:
                decode.add(entry.audio_id)
        elif plan.stage == CODED and coded in plan.files and held:
            copied += 1
        elif (plan.stage == CODED and coded in plan.files) or (plan.stage == DATASET_FILES and coded in evicted_keys):
            encode += 1
            if entry.key in evicted_keys:
                decode.add(entry.audio_id)
        elif plan.stage == DATASET_FILES and not known.coded and entry.kept and entry.key in evicted_keys:
            decode.add(entry.audio_id)
    samples = sum(item.sample_count for item in segments.recordings if item.audio_id in decode)
    return RebuildCost(copied, len(decode), samples / segments.sample_rate_hz / 3600, encode)


def _evicted_record_name(stage: str, settings: Settings) -> str:
    return dataset_stage_name(settings.dataset) if stage == DATASET_FILES else stage


def _sizes(work: Store, known: _CommittedFiles, stage: str, partition: PartitionKey) -> dict[str, int]:
    """Bytes of the stage's files that lie there."""
    if stage != DATASET_FILES:
        return {item.key: item.size for item in work.listing(stage_prefix(stage, partition))}
    found = work.map_keys(work.head, [key for key, _ in known.files(stage)])
    return {item.key: item.size for item in found if item is not None}


def _abbreviate(names: Sequence[str]) -> str:
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return ", ".join(names[:5]) + more
