"""The audit of the voice dataset: finds files that are corrupt, missing or not listed by a commit record.

Reads all files, repairs nothing.
"""

import shlex
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any

from voice_core.corpus.dataset import rows_stage
from voice_core.corpus.dataset.card_stage import card_inputs, list_dataset_files
from voice_core.corpus.dataset.dataset_record import card_file_records, parse_dataset_record, splits_record
from voice_core.corpus.dataset.pairs import PairsRecord, parse_pairs
from voice_core.corpus.dataset.publications import parse_publications
from voice_core.corpus.dataset.splits import parse_splits
from voice_core.corpus.evicted import EvictedFiles, parse_eviction_record
from voice_core.corpus.ingest.batches import list_batches, try_read_batches
from voice_core.corpus.ingest.tombstones import parse_tombstone
from voice_core.corpus.manifest import Manifest, parse_manifest
from voice_core.corpus.names import CODED, SEGMENTS
from voice_core.corpus.segment.content_hashes import parse_content_hashes
from voice_core.fingerprint import sha256
from voice_core.layout import (
    EVICTED,
    TOMBSTONES,
    DatasetLayout,
    PartitionKey,
    batch_key,
    contents_key,
    manifest_key,
    stage_prefix,
)
from voice_core.settings import Settings
from voice_core.stages.integrity import MISSING, AuditCollector, PartitionAudit
from voice_core.storage.store import Store

DATASETS_PREFIX = "datasets/"
SEGMENT_STAGES = (SEGMENTS, CODED)


def dataset_names(work: Store) -> list[str]:
    """The names of all datasets in the work root."""
    keys = (item.key.removeprefix(DATASETS_PREFIX) for item in work.listing(DATASETS_PREFIX))
    return sorted({key.partition("/")[0] for key in keys if "/" in key})


def audit_partition(
    work: Store, partition: PartitionKey, settings: Settings, names: Collection[str] = ()
) -> PartitionAudit:
    """Audit a partition: segments, codes, and rows and pairs in the datasets `names` or that of the settings."""
    found = AuditCollector(work)
    manifests = {stage: _audit_stage(found, stage, partition) for stage in SEGMENT_STAGES}
    rows = [_audit_rows(found, partition, DatasetLayout(name)) for name in names or (settings.dataset,)]
    was_cut = any(rows) or manifests[CODED] is not None or work.head(contents_key(partition)) is not None
    was_coded = any(item.parameters.get("codec") for item in rows if item)
    for stage, was_built in ((SEGMENTS, was_cut), (CODED, was_coded)):
        if was_built and manifests[stage] is None:
            found.wrong.setdefault(manifest_key(stage, partition), MISSING)
    return found.finish(EvictedFiles(work).contains)


def _audit_stage(found: AuditCollector, stage: str, partition: PartitionKey) -> Manifest | None:
    key = manifest_key(stage, partition)
    there = [item.key for item in found.work.listing(stage_prefix(stage, partition)) if item.key != key]
    manifest = _read_manifest(found, key)
    if manifest is None:
        found.add_missing_record(key, there, "batch")
        return None
    if not manifest.complete:
        found.unfinished.append(key)
        return manifest
    files = {entry.key: entry.sha256 for entry in manifest.files()}
    found.expected_hashes |= files
    found.add_unlisted(there, files)
    return manifest


def _read_manifest(found: AuditCollector, key: str, *, lazily: bool = False) -> Manifest | None:
    return found.parse(key, lambda data: parse_manifest(found.work, key, data, lazily=lazily))


def _audit_rows(found: AuditCollector, partition: PartitionKey, layout: DatasetLayout) -> Manifest | None:
    manifest = _read_manifest(found, layout.manifest_key(partition))
    if manifest is None:
        return None
    if not manifest.complete:
        found.unfinished.append(layout.manifest_key(partition))
        return manifest
    found.expected_hashes |= dict(rows_stage.list_parquet_files(manifest))
    record = _read_pairs(found, layout.pairs_record_key(partition))
    if record is not None:
        found.expected_hashes |= {str(item["key"]): str(item["sha256"]) for item in record.files}
    return manifest


def _read_pairs(found: AuditCollector, key: str) -> PairsRecord | None:
    return found.parse(key, lambda data: parse_pairs(found.work, key, data))


def audit_dataset(work: Store, settings: Settings, *, is_other: bool = False) -> PartitionAudit:
    """Audit dataset.json, the card, its figures and the splits, and find files that no record lists.

    Rows and pairs are audited by partition (`audit_partition`). `is_other`: VOICE_DATASET names another dataset.
    """
    found, layout = AuditCollector(work), DatasetLayout(settings.dataset)
    there = {item.key for item in work.listing(layout.root)}
    manifests, records = _read_committed(work, layout, there)
    commit = _audit_dataset_record(found, layout, there, manifests, records, settings)
    _audit_splits(found, layout, there, commit, manifests)
    if f"{layout.root}published.json" in there:
        _audit_readable(found, f"{layout.root}published.json", parse_publications)
    listed = {layout.summary_key, layout.splits_key, f"{layout.root}published.json", *found.expected_hashes}
    listed |= {item["key"] for item in (commit or {}).get("files", [])}
    for manifest in manifests:
        partition = PartitionKey.parse(manifest.partition)
        listed |= {layout.manifest_key(partition), layout.pairs_record_key(partition)}
        listed |= {key for key, _ in rows_stage.list_parquet_files(manifest)}
    listed |= {str(item["key"]) for record in records for item in record.files}
    if commit is not None and not card_file_records(commit):
        listed |= {layout.card_key, *(key for key in there if key.startswith(layout.figures))}
    found.add_unlisted([key for key in there if key not in found.wrong], listed)
    other = f"VOICE_DATASET={shlex.quote(settings.dataset)} " if is_other else ""
    return found.finish(remedy=f"{other}voice build --verify")


def _read_committed(
    work: Store, layout: DatasetLayout, there: Iterable[str]
) -> tuple[list[Manifest], list[PairsRecord]]:
    """The readable, complete manifests and pairs records; problems of the others are reported by `audit_partition`."""
    discarded, prefix = AuditCollector(work), f"{layout.root}manifests/"
    manifests, records = [], []
    for key in sorted(there):
        partition = PartitionKey.find(key.removeprefix(prefix).removesuffix(".parquet"))
        if partition is None or key != layout.manifest_key(partition):
            continue
        manifest = _read_manifest(discarded, key, lazily=True)
        record = _read_pairs(discarded, layout.pairs_record_key(partition))
        if manifest is not None and manifest.complete:
            manifests.append(manifest)
        if record is not None:
            records.append(record)
    order = {manifest.partition: PartitionKey.parse(manifest.partition) for manifest in manifests}
    return sorted(manifests, key=lambda item: order[item.partition]), records


def _audit_dataset_record(
    found: AuditCollector,
    layout: DatasetLayout,
    there: Collection[str],
    manifests: list[Manifest],
    records: list[PairsRecord],
    settings: Settings,
) -> Mapping[str, Any] | None:
    key = layout.summary_key
    commit = found.parse(key, lambda data: parse_dataset_record(found.work, key, data))
    if commit is None:
        if layout.card_key in there:
            found.wrong.setdefault(key, f"{MISSING}, but the card exists")
        elif manifests and key not in found.wrong:
            found.unfinished.append(key)
        return None
    found.expected_hashes |= {item["key"]: item["sha256"] for item in card_file_records(commit)}
    if not card_file_records(commit):
        found.unfinished.append(layout.card_key)  # a record of an older version, without the checksum of the card
    for name in commit["partitions"]:
        partition = PartitionKey.parse(name)
        for needed in (layout.manifest_key(partition), layout.pairs_record_key(partition)):
            if needed not in there:
                found.wrong[needed] = MISSING
    if commit["inputs"] != card_inputs(manifests, settings):
        found.unfinished.append(key)  # rows or settings have changed since
    elif commit["files"] != list_dataset_files(manifests, records):
        found.wrong[key] = "does not list the files that the manifests list"
    return commit


def _audit_splits(
    found: AuditCollector,
    layout: DatasetLayout,
    there: Collection[str],
    commit: Mapping[str, Any] | None,
    manifests: Collection[Manifest],
) -> None:
    key = layout.splits_key
    read = found.parse(key, lambda data: (parse_splits(found.work, key, data), sha256(data)))
    if read is None:
        if manifests and key not in there:
            found.wrong[key] = MISSING
        return
    splits, digest = read
    committed = splits_record(commit)
    if committed.get("inputs") == splits.inputs and committed["sha256"] != digest:
        found.wrong[key] = "is not what was committed"


def audit_state(work: Store) -> PartitionAudit:
    """Audit batch files, tombstones and eviction records, which have no checksums: each must be readable."""
    found = AuditCollector(work)
    listing = list_batches(work)
    batches = try_read_batches(work, listing.partitions)
    found.files_read += len(listing.partitions)
    strays = [*listing.strays, *batches.strays]
    found.unlisted += [stray.key.removeprefix(f"{work.url}/") for stray in strays]
    for partition, error in batches.damaged.items():
        found.wrong[batch_key(partition)] = error.why
    of_manifests = (_partition_of_manifest(item.key) for item in work.listing(f"{SEGMENTS}/"))
    built = {partition for partition in of_manifests if partition is not None}
    stray_batches = {stray.key.removeprefix(f"{work.url}/") for stray in batches.strays}
    for partition in sorted({*built, *listing.missing} - set(listing.partitions)):
        found.wrong[batch_key(partition)] = f"{MISSING}, but segments of its batch exist"
    for partition in sorted(listing.contents):
        if batch_key(partition) in stray_batches:
            found.unlisted.append(contents_key(partition))
        else:
            _audit_readable(found, contents_key(partition), parse_content_hashes)
    for prefix, parse in ((TOMBSTONES, parse_tombstone), (EVICTED, parse_eviction_record)):
        for item in work.listing(prefix):
            _audit_readable(found, item.key, parse)
    is_rebuilt = any(not key.startswith(TOMBSTONES) for key in found.wrong)
    return found.finish(remedy="voice build" if is_rebuilt else "")


def _partition_of_manifest(key: str) -> PartitionKey | None:
    stage, _, rest = key.partition("/")
    partition = PartitionKey.find(rest.rpartition("/")[0])
    return partition if partition is not None and key == manifest_key(stage, partition) else None


def _audit_readable(found: AuditCollector, key: str, parse: Callable[[Store, str, bytes], object]) -> None:
    """Check that a file can be read; `parse` returns None for a file that does not belong there."""
    belongs = found.parse(key, lambda data: parse(found.work, key, data) is not None)
    if belongs is False:
        found.unlisted.append(key)
