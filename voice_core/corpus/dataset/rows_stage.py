"""The stage "dataset": a partition's segments → Parquet files of the configs "full" and "neutts"."""

import dataclasses
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from voice_core.audio.pcm import flac_bytes
from voice_core.compute import progress, workers
from voice_core.corpus.dataset.exporters import EXPORTERS, ROW_CONFIGS, Row, has_codec
from voice_core.corpus.dataset.exporters import row_key as row_key
from voice_core.corpus.dataset.parquet_writer import ROW_GROUP, PartitionParquetWriter
from voice_core.corpus.dataset.splits import Splits
from voice_core.corpus.dataset.text_normalization import neutts_drop_reasons
from voice_core.corpus.encode.encode_stage import rebuild_evicted
from voice_core.corpus.evicted import dataset_stage_name, unmark_evicted
from voice_core.corpus.labels import ADDED_LABELS
from voice_core.corpus.manifest import (
    Entry,
    Manifest,
    load_manifest,
    read_complete_manifest,
    read_manifest,
    sorted_entries,
)
from voice_core.corpus.names import CODED, DATASET, FULL, NEUTTS, SEGMENTS, SPLITS, TEST
from voice_core.corpus.presence import are_files_intact
from voice_core.corpus.segment.rebuild import RebuildSources
from voice_core.corpus.segment.segment_files import SegmentFileError, load_audio_and_codes
from voice_core.fingerprint import fingerprint, sha256
from voice_core.layout import DatasetLayout, PartitionKey
from voice_core.settings import Settings
from voice_core.stages.verdicts import Reject
from voice_core.storage.distributed_lock import hold_lock
from voice_core.storage.scratch import open_scratch
from voice_core.storage.store import Store, StoreError

DATASET_VERSION = 2
_DAMAGED = "segment_damaged"


@dataclass(frozen=True, slots=True)
class DatasetReport:
    """What one run of the stage did."""

    manifest: Manifest
    rows: int
    bytes_written: int
    wall_sec: float


def source_stage(settings: Settings) -> str:
    """The stage whose files become rows: without a codec, the segments themselves."""
    return CODED if has_codec(settings) else SEGMENTS


def read_dataset_manifest(
    work: Store, partition: PartitionKey, settings: Settings, *, lazily: bool = False
) -> Manifest | None:
    return load_manifest(work, DatasetLayout(settings.dataset).manifest_key(partition), lazily=lazily)


def read_latest_complete(work: Store, partition: PartitionKey, settings: Settings) -> Manifest | None:
    """The manifest of the last finished stage, which totals over the work root are computed from."""
    return latest_complete(
        read_dataset_manifest(work, partition, settings),
        *(read_manifest(work, stage, partition) for stage in dict.fromkeys((source_stage(settings), SEGMENTS))),
    )


def latest_complete(*manifests: Manifest | None) -> Manifest | None:
    """The first complete one of a partition's manifests, given from the last stage to the first."""
    return next((manifest for manifest in manifests if manifest is not None and manifest.complete), None)


def require_dataset_manifest(work: Store, partition: PartitionKey, settings: Settings) -> Manifest:
    """The committed rows. Raises `LookupError` if there are none; the message says what to run."""
    manifest = read_dataset_manifest(work, partition, settings)
    if manifest is None or not manifest.complete:
        raise LookupError(
            f"{partition} has no finished rows in dataset {settings.dataset!r}: build voice_dataset first"
        )
    return manifest


def list_parquet_files(manifest: Manifest) -> list[tuple[str, str]]:
    """(key, SHA-256) of the partition's Parquet files."""
    return [(item["key"], item["sha256"]) for item in manifest.parameters.get("files", [])]


def stage_inputs(source: Manifest, splits: Splits, settings: Settings) -> str:
    """The fingerprint of the inputs; of the splits, only what concerns this partition."""
    channel = PartitionKey.parse(source.partition).channel
    assigned = [splits.split_of(channel, recording.audio_id) for recording in source.recordings]
    leaks = [
        (entry.audio_id, entry.index)
        for entry in (source.kept() if TEST in assigned else ())  # without held-out recordings nothing leaks
        if splits.leaks(splits.split_of(channel, entry.audio_id), entry.text)
    ]
    return fingerprint(
        DATASET_VERSION,
        source.stage,
        source.data_version,
        assigned,
        leaks,
        settings.display_name(channel),
        *ADDED_LABELS,  # all files of a config have the same columns
        *(config for config in ROW_CONFIGS if config not in (FULL, NEUTTS)),
    )


def is_current(source: Manifest, dataset: Manifest | None, splits: Splits, settings: Settings) -> bool:
    return dataset is not None and dataset.complete and dataset.inputs == stage_inputs(source, splits, settings)


def build_dataset(
    work: Store,
    partition: PartitionKey,
    splits: Splits,
    settings: Settings,
    *,
    verify: bool = False,
    rebuild_sources: RebuildSources | None = None,
) -> DatasetReport:
    """Write the partition's Parquet files and their manifest, unless they are current.

    With `verify`, their content is compared, too. Evicted files of the stage before are rebuilt from
    `rebuild_sources`. Waits while another process works on the partition.
    """
    with hold_lock(work, str(partition)) as work:
        started = time.monotonic()
        source = read_complete_manifest(work, source_stage(settings), partition)
        there = read_dataset_manifest(work, partition, settings)
        current = there is not None and is_current(source, there, splits, settings)
        files = there.parameters.get("files", []) if there is not None else []
        if there is not None and current and are_files_intact(work, files, verify=verify):
            return DatasetReport(there, len(there.kept()), 0, time.monotonic() - started)
        return write_rows(work, source, splits, settings, rebuild_sources)


def write_rows(
    work: Store, source: Manifest, splits: Splits, settings: Settings, rebuild_sources: RebuildSources | None
) -> DatasetReport:
    """Write the Parquet files of a partition whose lock is held, even if they are current."""
    started = time.monotonic()
    partition = PartitionKey.parse(source.partition)
    rebuild_evicted(work, rebuild_sources, source.stage, partition, settings, [entry.key for entry in source.kept()])
    layout = DatasetLayout(settings.dataset)
    exporters = [exporter for exporter in EXPORTERS if has_codec(settings) or not exporter.needs_codes]
    draft = dataclasses.replace(
        source,
        stage=DATASET,
        complete=False,
        inputs=stage_inputs(source, splits, settings),
        entries=(),
        parameters={**source.parameters, "split": settings.split.model_dump(), "code": f"dataset{DATASET_VERSION}"},
    )
    work.put(layout.manifest_key(partition), draft.to_bytes())
    entries = [_assign_split(entry, splits, partition.channel) for entry in source.entries]
    kept = [entry for entry in entries if entry.kept]
    results = [entry for entry in entries if not entry.kept]
    tasks = [
        ReadRowsTask(work, group, source.sample_rate_hz)
        for split in SPLITS
        for group in _row_groups([entry for entry in kept if entry.split == split])
    ]
    count = settings.workers if work.shareable else 1
    scratch = open_scratch(settings.local_dir, settings.local_gb) if work.local_root is None else None
    expected_bytes = sum(entry.size_bytes for entry in kept)
    with (
        PartitionParquetWriter(
            work, lambda config, split: layout.rows_key(config, partition, split), scratch, expected_bytes
        ) as files,
        progress.track(f"writing {partition}", len(kept), "rows") as bar,
    ):
        read = workers.map_ordered(read_rows, tasks, count, name=lambda task: task.entries[0].key)
        for task, loaded in zip(tasks, read, strict=True):
            good = []
            for entry, content in zip(task.entries, loaded, strict=True):
                if isinstance(content, Reject):
                    results.append(entry.with_verdict(content))
                else:
                    results.append(entry)
                    good.append(Row(entry, *content))
            if good:
                for exporter in exporters:
                    files.write(exporter.config, task.entries[0].split, exporter.make_table(good, source, settings))
            bar.advance(len(task.entries))
    written = {item["key"] for item in files.records}
    possible_keys = (layout.rows_key(config, partition, split) for config in ROW_CONFIGS for split in SPLITS)
    work.delete([key for key in possible_keys if key not in written])
    has_damaged = any(entry.reason == _DAMAGED for entry in results)  # the next run tries unreadable files again
    manifest = dataclasses.replace(
        draft,
        complete=True,
        inputs="" if has_damaged else draft.inputs,
        entries=sorted_entries(results),
        parameters={**draft.parameters, "files": files.records},
    )
    work.put(layout.manifest_key(partition), manifest.to_bytes())
    unmark_evicted(work, dataset_stage_name(settings.dataset), partition, written)
    size_bytes = sum(item["size_bytes"] for item in files.records)
    return DatasetReport(manifest, len(manifest.kept()), size_bytes, time.monotonic() - started)


def _assign_split(entry: Entry, splits: Splits, channel: str) -> Entry:
    """The row with its split, or rejected if its text leaks."""
    if not entry.kept:
        return entry
    split = splits.split_of(channel, entry.audio_id)
    entry = dataclasses.replace(entry, split=split, neutts_drop=neutts_drop_reasons(entry.text))
    return entry.with_verdict(Reject(DATASET, "text_in_train")) if splits.leaks(split, entry.text) else entry


def _row_groups(entries: Sequence[Entry]) -> Iterator[Sequence[Entry]]:
    for start in range(0, len(entries), ROW_GROUP):
        yield entries[start : start + ROW_GROUP]


@dataclass(frozen=True, slots=True)
class ReadRowsTask:
    """A few rows of one split: the input of a worker."""

    work: Store
    entries: Sequence[Entry]
    sample_rate_hz: int


SegmentContent = tuple[bytes, npt.NDArray[np.int32]]


def read_rows(task: ReadRowsTask) -> list[SegmentContent | Reject]:
    """Read the files of a few rows: FLAC and codes, or the reason why a file cannot be used."""

    def read(key: str) -> SegmentContent | Reject:
        try:
            data = task.work.get(key)
            if sha256(data) != wanted[key]:
                raise SegmentFileError(f"{key} is not the file that was committed")
            audio, codes = load_audio_and_codes(data, key)
        except (StoreError, SegmentFileError) as error:
            return Reject(DATASET, _DAMAGED, message=str(error))
        return flac_bytes(audio, task.sample_rate_hz), codes

    wanted = {entry.key: entry.sha256 for entry in task.entries}
    return task.work.map_keys(read, wanted)
