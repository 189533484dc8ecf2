"""Evicted files: committed files that were deleted on purpose, since they can be rebuilt. Users read "freed".

`freed/<stage>/<partition>.json` names them with their hashes. A row whose file is named there counts as if its file
were there. The record is written before the first file is deleted, so that an interrupted deletion leaves no doubt.
"""

import json
import logging
from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from voice_core.corpus.manifest import load_manifest, read_manifest
from voice_core.layout import EVICTED, DatasetLayout, PartitionKey, evicted_key, evicted_prefix, stage_prefix
from voice_core.stages.files import find_sizes, list_sizes
from voice_core.storage.state_files import DamagedStateError, parse_state, read_state
from voice_core.storage.store import Store

_log = logging.getLogger(__name__)
HashesByKey = dict[str, str]  # SHA-256 by key


def dataset_stage_name(name: str) -> str:
    """The stage name in the eviction record of a dataset's Parquet files."""
    return DatasetLayout(name).root.rstrip("/")


def read_evicted(store: Store, stage: str, partition: PartitionKey) -> HashesByKey:
    """The evicted files of a partition; stage is "segments", "coded" or a `dataset_stage_name`."""
    try:
        record = read_state(store, evicted_key(stage, partition), _EvictionRecord)
    except DamagedStateError as error:
        _log.warning("%s; files that are missing count as freed", error)
        return _find_missing_files(store, stage, partition)
    return record.files if record is not None else {}


@dataclass(frozen=True, slots=True)
class _EvictionRecord:
    files: HashesByKey


def _find_missing_files(store: Store, stage: str, partition: PartitionKey) -> HashesByKey:
    """The committed files that are missing: the content that the record had."""
    if stage.startswith("datasets/"):
        layout = DatasetLayout(stage.removeprefix("datasets/"))
        manifest = load_manifest(store, layout.manifest_key(partition))
        listed = {item["key"]: item["sha256"] for item in manifest.parameters.get("files", [])} if manifest else {}
        with suppress(DamagedStateError):
            pairs = read_state(store, layout.pairs_record_key(partition), dict[str, Any]) or {}
            listed |= {item["key"]: item["sha256"] for item in pairs.get("files", [])}
        there = find_sizes(store, listed)
    else:
        manifest = read_manifest(store, stage, partition)
        listed = {entry.key: entry.sha256 for entry in manifest.files()} if manifest else {}
        there = list_sizes(store, stage_prefix(stage, partition))
    return {key: digest for key, digest in listed.items() if key not in there}


def repair_eviction_records(store: Store) -> None:
    """Rewrite damaged records."""
    keys = [item.key for item in store.listing(EVICTED)]
    for key, data in zip(keys, store.map_keys(store.find, keys), strict=True):
        location = _parse_record_key(key)
        try:
            if data is not None:
                parse_eviction_record(store, key, data)
        except DamagedStateError:
            if location is not None:
                write_evicted(store, *location, read_evicted(store, *location))


def parse_eviction_record(store: Store, key: str, data: bytes) -> HashesByKey | None:
    """The content of a record; None for a file whose name is not that of a record."""
    return parse_state(store, key, data, _EvictionRecord).files if _parse_record_key(key) is not None else None


def _parse_record_key(key: str) -> tuple[str, PartitionKey] | None:
    """
    >>> _parse_record_key("freed/datasets/voice/news/batch-0001.json")
    ('datasets/voice', PartitionKey(channel='news', number=1))
    """
    stage, _, name = key.removeprefix(EVICTED).removesuffix(".json").partition("/")
    if stage == "datasets":
        stage, name = "datasets/" + name.partition("/")[0], name.partition("/")[2]
    partition = PartitionKey.find(name)
    return (stage, partition) if partition is not None and evicted_key(stage, partition) == key else None


def write_evicted(store: Store, stage: str, partition: PartitionKey, files: Mapping[str, str]) -> None:
    key = evicted_key(stage, partition)
    if files:
        value = {"files": dict(sorted(files.items()))}
        store.put(key, (json.dumps(value, ensure_ascii=False, indent=1) + "\n").encode())
    else:
        store.delete([key])


def unmark_evicted(store: Store, stage: str, partition: PartitionKey, keys: Collection[str]) -> None:
    """Remove files from the record: they are there again, or will not be rebuilt."""
    evicted = read_evicted(store, stage, partition)
    remaining = {key: digest for key, digest in evicted.items() if key not in keys}
    if remaining != evicted:
        write_evicted(store, stage, partition, remaining)


def prune_evicted(store: Store, stage: str, partition: PartitionKey, files: Iterable[tuple[str, str]]) -> None:
    """After a commit, keep only those evicted files that the stage still lists, by key and SHA-256."""
    evicted = read_evicted(store, stage, partition)
    remaining = evicted.items() & set(files)
    if len(remaining) != len(evicted):
        write_evicted(store, stage, partition, dict(remaining))


def list_evicted_partitions(store: Store, stage: str) -> set[PartitionKey]:
    """Partitions with evicted files."""
    prefix = evicted_prefix(stage)
    names = (item.key[len(prefix) : -len(".json")] for item in store.listing(prefix) if item.key.endswith(".json"))
    return {partition for name in names if (partition := PartitionKey.find(name)) is not None}


class EvictedFiles:
    """Looks up whether a file of any stage was evicted."""

    def __init__(self, store: Store) -> None:
        self._read = lru_cache(maxsize=None)(lambda stage, partition: read_evicted(store, stage, partition))

    def contains(self, key: str, sha256: str) -> bool:
        """Whether the file with this key and content was evicted."""
        location = _parse_file_key(key)
        return location is not None and self._read(*location).get(key) == sha256


def _parse_file_key(key: str) -> tuple[str, PartitionKey] | None:
    """
    >>> _parse_file_key("segments/news/batch-0001/monday_seg_7.npz")
    ('segments', PartitionKey(channel='news', number=1))
    >>> _parse_file_key("datasets/voice/data/news/batch-0001.train.parquet")
    ('datasets/voice', PartitionKey(channel='news', number=1))
    """
    parts = key.split("/")
    if parts[0] == "datasets" and len(parts) == 5:
        stage, channel, batch = "/".join(parts[:2]), parts[3], parts[4].split(".")[0]
    elif len(parts) == 4:
        stage, channel, batch = parts[0], parts[1], parts[2]
    else:
        return None
    partition = PartitionKey.find(f"{channel}/{batch}")
    return (stage, partition) if partition is not None else None
