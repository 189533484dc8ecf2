"""Evict files: delete the files of a stage whose derived files are committed, current and intact.

Manifests stay, and a record names the evicted files, so their stage stays current. Files that are needed later are
rebuilt byte for byte by `voice_core.corpus.segment.rebuild`.
"""

import dataclasses
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

from voice_core.corpus.checks import files_intact
from voice_core.corpus.dataset import pairs, rows_stage
from voice_core.corpus.dataset.publications import read_publications
from voice_core.corpus.evicted import dataset_stage_name, read_evicted, write_evicted
from voice_core.corpus.manifest import Manifest, read_manifest
from voice_core.corpus.names import CODED, SEGMENTS
from voice_core.corpus.plan.rebuilds import AvailableFiles, list_present_rows, plan_coded_rebuild, plan_segment_rebuild
from voice_core.corpus.status import ASSETS, PartitionStatus
from voice_core.fingerprint import fingerprint
from voice_core.language import pluralize
from voice_core.layout import DatasetLayout, PartitionKey, stage_prefix
from voice_core.settings import Settings
from voice_core.stages.checks import list_first
from voice_core.stages.files import find_sizes, list_sizes
from voice_core.storage.distributed_lock import hold_lock
from voice_core.storage.store import Store

_DATASET_FILES = "datasets"
_EVICTABLE_STAGES = (SEGMENTS, CODED, _DATASET_FILES)


class DerivedFilesDamagedError(RuntimeError):
    """Files derived from those to be evicted are missing or corrupt, so nothing is evicted. The message names them."""


@dataclass(frozen=True, slots=True)
class _CommittedFiles:
    """The manifests of one partition and the files that they commit, evicted or not."""

    segments: Manifest | None
    coded: Manifest | None
    rows: Manifest | None
    pairs: tuple[tuple[str, str], ...]  # (key, SHA-256)
    evicted: Mapping[str, str]  # SHA-256 by key, of all stages

    @classmethod
    def read(cls, work: Store, partition: PartitionKey, settings: Settings) -> "_CommittedFiles":
        record = pairs.read_pairs(work, partition, settings)
        evicted: dict[str, str] = {}
        for stage in _EVICTABLE_STAGES:
            evicted |= read_evicted(work, _evicted_record_name(stage, settings), partition)
        return cls(
            read_manifest(work, SEGMENTS, partition),
            read_manifest(work, CODED, partition) if rows_stage.has_codec(settings) else None,
            rows_stage.read_dataset_manifest(work, partition, settings),
            tuple(record.hashes.items()) if record else (),
            evicted,
        )

    @property
    def version(self) -> str:
        manifests = (self.segments, self.coded, self.rows)
        return fingerprint([item.data_version if item else "" for item in manifests], list(self.pairs))

    def files(self, stage: str) -> list[tuple[str, str]]:
        """(key, SHA-256) of every file that a stage committed."""
        if stage == _DATASET_FILES:
            return [*(rows_stage.list_parquet_files(self.rows) if self.rows else ()), *self.pairs]
        manifest = self.segments if stage == SEGMENTS else self.coded
        return [(entry.key, entry.sha256) for entry in manifest.files()] if manifest else []

    def derived_files(self, stage: str) -> list[tuple[str, str]]:
        """Files of later stages that hold the content of the stage's kept files.

        Where coded files are evicted themselves, the Parquet files are included too.
        """
        if stage == _DATASET_FILES:
            return []
        derived = self.files(CODED) if stage == SEGMENTS and self.coded else []
        if not derived or any(self.evicted.get(key) == digest for key, digest in derived):
            derived += self.files(_DATASET_FILES)
        return derived


def _evicted_record_name(stage: str, settings: Settings) -> str:
    """The stage's name in the records of evicted files."""
    return dataset_stage_name(settings.dataset) if stage == _DATASET_FILES else stage


@dataclass(frozen=True, slots=True)
class RebuildCost:
    """Work to rebuild the files of a plan once all plans are carried out."""

    copied: int = 0  # files that are copied from a later stage's files or the dataset's rows
    decode_recordings: int = 0
    decode_hours: float = 0.0
    encode_segments: int = 0


@dataclass(frozen=True, slots=True)
class EvictionPlan:
    """Files of one stage of one partition that would be evicted; none if there is a `refusal`.

    `files` maps keys to SHA-256; `retained` says how many other files are kept, and why. `version` identifies the
    manifests that the plan is based on.
    """

    stage: str
    partition: PartitionKey
    files: Mapping[str, str] = field(default_factory=dict, repr=False)
    size_bytes: int = 0
    retained: str = ""
    rebuild: RebuildCost = RebuildCost()
    refusal: str = ""
    version: str = ""


def plan_eviction(
    work: Store,
    partitions: Iterable[PartitionStatus],
    stages: Collection[str],
    settings: Settings,
    *,
    force: bool = False,
) -> list[EvictionPlan]:
    """What can be evicted, by partition and stage; stages without any file are omitted.

    A stage is evicted only if it and the stages derived from it are current. Files of recordings that are no longer in
    the raw bucket are kept. With `force`, datasets that are not published are evicted, too.
    """
    plans = []
    for status in partitions:
        known = _CommittedFiles.read(work, status.partition, settings)
        mine = []
        for stage in _EVICTABLE_STAGES:
            sizes = _sizes(work, known, stage, status.partition) if stage in stages else {}
            present = {key: digest for key, digest in known.files(stage) if key in sizes}
            if present:
                mine.append(_plan_stage(work, status, known, stage, present, sizes, settings, force))
        evicted_keys = known.evicted.keys() | {key for plan in mine for key in plan.files}
        plans += [dataclasses.replace(plan, rebuild=_rebuild_cost(known, plan, evicted_keys)) for plan in mine]
    return plans


def evict_files(work: Store, plan: EvictionPlan, settings: Settings) -> None:
    """Verify all files that are derived from the plan's files, then delete the plan's files.

    Waits while another process works on the partition. If it is killed, calling it again completes the deletion.

    Raises:
        DerivedFilesDamagedError: nothing was deleted.
    """
    place = _evicted_record_name(plan.stage, settings)
    with hold_lock(work, str(plan.partition)) as work:
        known = _CommittedFiles.read(work, plan.partition, settings)
        if known.version != plan.version:
            raise DerivedFilesDamagedError(f"{plan.partition} has changed since it was planned: run the command again")
        outcome = files_intact(work, known.derived_files(plan.stage))
        if not outcome.passed:
            raise DerivedFilesDamagedError(
                f"{plan.partition}: {plan.stage} is kept, since files derived from it are missing or corrupt: "
                f"{outcome.message}; `voice build --verify` repairs them"
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
    """`present` are the stage's files in the work root (SHA-256 by key), `sizes` their bytes."""
    needed = ASSETS[
        : 3 + _EVICTABLE_STAGES.index(stage) if rows_stage.has_codec(settings) else 4 + (stage == _DATASET_FILES)
    ]
    unfinished = [f"{name} is {status.states[name]}" for name in needed if not status.states[name].up_to_date]
    undecodable = _undecodable_recordings(status, known)
    refusal, retained, files = "", "", dict(present)
    if unfinished:
        refusal = f"{', '.join(unfinished)}: run `voice build` first"
    elif stage == _DATASET_FILES:
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
                f"{len(present) - len(files)} files of recordings that the raw bucket lacks: {list_first(named, ', ')}"
            )
    if refusal:
        return EvictionPlan(stage, status.partition, refusal=refusal, version=known.version)
    size = sum(sizes[key] for key in files)
    return EvictionPlan(stage, status.partition, files, size, retained, version=known.version)


def _undecodable_recordings(status: PartitionStatus, known: _CommittedFiles) -> set[str]:
    """The audio_ids of recordings that cannot be decoded again."""
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
        {e.audio_id for e in source.kept() if e.audio_id in undecodable and e.key in known.evicted} if source else set()
    )
    if last:
        return f"its rows are the last copy of recordings that the raw bucket lacks: {list_first(sorted(last), ', ')}"
    root = DatasetLayout(settings.dataset).root
    published = {
        (root + str(item["path"]), item["sha256"])
        for place in read_publications(work, settings)
        for item in place.files
    }
    missing = sorted(key for key, digest in present.items() if (key, digest) not in published)
    if missing and not force:
        files = f"{pluralize(len(missing), 'file')} {'is' if len(missing) == 1 else 'are'} not published"
        return f"{files}, such as {missing[0]}: run `voice publish` first, or use --force"
    return ""


def _rebuild_cost(known: _CommittedFiles, plan: EvictionPlan, evicted_keys: Collection[str]) -> RebuildCost:
    """`evicted_keys` are all files that are evicted once every plan is carried out."""
    segments, coded = known.segments, known.coded
    if segments is None or plan.refusal:
        return RebuildCost()
    available = AvailableFiles(
        coded={entry.key for entry in coded.files() if entry.key not in evicted_keys} if coded else (),
        rows=list_present_rows(known.rows, evicted_keys),
        evicted_segments=evicted_keys,
    )
    if plan.stage == SEGMENTS:
        steps = plan_segment_rebuild([entry for entry in segments.files() if entry.key in plan.files], available)
    elif coded is not None:  # rows are written from coded files
        needed = evicted_keys if plan.stage == _DATASET_FILES else plan.files.keys()
        by_id = {(entry.audio_id, entry.index): entry for entry in segments.files()}
        steps = plan_coded_rebuild([entry for entry in coded.files() if entry.key in needed], by_id, available)
    else:  # rows are written from segment files
        steps = plan_segment_rebuild([entry for entry in segments.kept() if entry.key in evicted_keys], available)
    decoded = {entry.audio_id for entry in steps.cut}
    samples = sum(item.sample_count for item in segments.recordings if item.audio_id in decoded)
    hours = samples / segments.sample_rate_hz / 3600
    return RebuildCost(len(steps.copied), len(decoded), hours, len(steps.encoded))


def _sizes(work: Store, known: _CommittedFiles, stage: str, partition: PartitionKey) -> dict[str, int]:
    """Bytes by key of the stage's files in the work root."""
    if stage != _DATASET_FILES:
        return list_sizes(work, stage_prefix(stage, partition))
    return find_sizes(work, [key for key, _ in known.files(stage)])
