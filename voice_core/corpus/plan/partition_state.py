"""What the work root holds of a partition: read here once, so that planning works on plain values."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from voice_core.corpus.dataset import pairs, rows_stage
from voice_core.corpus.dataset.pairs import PairsRecord
from voice_core.corpus.evicted import dataset_stage_name, list_evicted_partitions, read_evicted
from voice_core.corpus.manifest import Manifest, read_manifest
from voice_core.corpus.names import CODED, SEGMENTS
from voice_core.corpus.presence import intact_keys
from voice_core.corpus.status import PartitionStatus
from voice_core.layout import PartitionKey, manifest_key, stage_prefix
from voice_core.settings import Settings
from voice_core.stages.files import list_sizes
from voice_core.storage.store import Store

_INGEST_ASSETS = ("raw_audio", "segments")


@dataclass(frozen=True, slots=True)
class PartitionState:
    """One partition: its status, its manifests, and its files by key.

    Listings are empty where the status says that planning does not need them.
    """

    status: PartitionStatus
    coded: Manifest | None
    rows: Manifest | None
    pairs: PairsRecord | None
    segment_sizes: Mapping[str, int] = field(repr=False)  # bytes of the files that are present
    coded_sizes: Mapping[str, int] = field(repr=False)
    intact_coded: Collection[str] = field(repr=False)  # coded files that are as committed
    evicted_segments: Collection[str] = field(repr=False)
    evicted_coded: Collection[str] = field(repr=False)
    evicted_dataset: Collection[str] = field(repr=False)  # Parquet files of rows and pairs

    @property
    def partition(self) -> PartitionKey:
        return self.status.partition


def needs_ingest(status: PartitionStatus) -> bool:
    """Whether a build would look at the partition's recordings."""
    return any(not status.states[name].up_to_date for name in _INGEST_ASSETS)


def read_partition_states(
    work: Store, partitions: Collection[PartitionStatus], settings: Settings, *, with_codes: bool
) -> list[PartitionState]:
    """Read the state of these partitions; raises `StoreError`."""
    stages = (SEGMENTS, CODED, dataset_stage_name(settings.dataset))
    evicted = {stage: list_evicted_partitions(work, stage) for stage in stages}
    by_name = {str(status.partition): status for status in partitions}

    def read(name: str) -> PartitionState:
        status = by_name[name]
        segments, coded, rows = (
            read_evicted(work, stage, status.partition) if status.partition in evicted[stage] else {}
            for stage in stages
        )
        return _read_state(work, status, segments, coded, rows, settings, with_codes)

    return work.map_keys(read, by_name)


def _read_state(
    work: Store,
    status: PartitionStatus,
    evicted_segments: Mapping[str, str],
    evicted_coded: Mapping[str, str],
    evicted_dataset: Mapping[str, str],
    settings: Settings,
    with_codes: bool,
) -> PartitionState:
    partition = status.partition
    ingest = needs_ingest(status)
    encode = with_codes and (ingest or not status.coded.up_to_date)
    coded = read_manifest(work, CODED, partition, lazily=not encode) if with_codes else None
    rows = rows_stage.read_dataset_manifest(work, partition, settings, lazily=True)
    record = pairs.read_pairs(work, partition, settings)
    files = [*(rows_stage.list_parquet_files(rows) if rows else ()), *(record.hashes.items() if record else ())]
    return PartitionState(
        status,
        coded,
        rows,
        record,
        _list_sizes(work, SEGMENTS, partition) if ingest else {},
        _list_sizes(work, CODED, partition) if encode or evicted_coded else {},
        intact_keys(work, coded, verify=False) if encode else (),
        evicted_segments.keys(),
        evicted_coded.keys(),
        {key for key, digest in files if evicted_dataset.get(key) == digest},
    )


def _list_sizes(work: Store, stage: str, partition: PartitionKey) -> dict[str, int]:
    """Sizes by key of a stage's files, without its manifest."""
    found = list_sizes(work, stage_prefix(stage, partition))
    found.pop(manifest_key(stage, partition), None)
    return found
