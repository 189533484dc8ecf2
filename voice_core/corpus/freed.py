"""Files that were freed: committed, and gone on purpose, since they can be made again.

`freed/<stage>/<partition>.json` names them with their hashes. A row whose file is named there stands as if its file
lay there. The record is written before the first file is deleted, so a deletion that was killed leaves no doubt.
"""

import json
from collections.abc import Collection, Iterable, Mapping
from functools import lru_cache

from voice_core.layout import DatasetLayout, PartitionKey, freed_key, freed_prefix
from voice_core.store import Store

Files = dict[str, str]  # SHA-256 by key


def dataset_place(name: str) -> str:
    """What stands for the stage in the record of a dataset's Parquet files."""
    return DatasetLayout(name).root.rstrip("/")


def read_freed(store: Store, stage: str, partition: PartitionKey) -> Files:
    """The freed files of a partition; stage is "segments", "coded" or a `dataset_place`."""
    data = store.find(freed_key(stage, partition))
    return json.loads(data)["files"] if data is not None else {}


def write_freed(store: Store, stage: str, partition: PartitionKey, files: Mapping[str, str]) -> None:
    key = freed_key(stage, partition)
    if files:
        value = {"files": dict(sorted(files.items()))}
        store.put(key, (json.dumps(value, ensure_ascii=False, indent=1) + "\n").encode())
    else:
        store.delete([key])


def no_longer_freed(store: Store, stage: str, partition: PartitionKey, keys: Collection[str]) -> None:
    """These files lie there again, or will not come back."""
    known = read_freed(store, stage, partition)
    left = {key: digest for key, digest in known.items() if key not in keys}
    if left != known:
        write_freed(store, stage, partition, left)


def keep_freed(store: Store, stage: str, partition: PartitionKey, files: Iterable[tuple[str, str]]) -> None:
    """A stage is committed: of its freed files only those count that it still lists, by key and SHA-256."""
    known = read_freed(store, stage, partition)
    left = known.items() & set(files)
    if len(left) != len(known):
        write_freed(store, stage, partition, dict(left))


def freed_partitions(store: Store, stage: str) -> set[PartitionKey]:
    """Partitions of which something is freed."""
    prefix = freed_prefix(stage)
    names = (item.key[len(prefix) : -len(".json")] for item in store.listing(prefix) if item.key.endswith(".json"))
    return {PartitionKey.parse(name) for name in names}


class FreedFiles:
    """Looks up whether a file of any stage was freed."""

    def __init__(self, store: Store) -> None:
        self._read = lru_cache(maxsize=None)(lambda stage, partition: read_freed(store, stage, partition))

    def holds(self, key: str, sha256: str) -> bool:
        """Whether the file with this key and content was freed."""
        place = _place(key)
        return place is not None and self._read(*place).get(key) == sha256


def _place(key: str) -> tuple[str, PartitionKey] | None:
    """
    >>> _place("segments/news/batch-0001/monday_seg_7.npz")
    ('segments', PartitionKey(channel='news', number=1))
    >>> _place("datasets/voice/data/news/batch-0001.train.parquet")
    ('datasets/voice', PartitionKey(channel='news', number=1))
    """
    parts = key.split("/")
    if parts[0] == "datasets" and len(parts) == 5:
        stage, channel, batch = "/".join(parts[:2]), parts[3], parts[4].split(".")[0]
    elif len(parts) == 4:
        stage, channel, batch = parts[0], parts[1], parts[2]
    else:
        return None
    try:
        return stage, PartitionKey.parse(f"{channel}/{batch}")
    except ValueError:
        return None
