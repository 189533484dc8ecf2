"""Batch files: `batches/<channel>/batch-0001.json` lists the recordings of a batch as its last snapshot found them.

Several processes may write a batch file at the same time: a write replaces only the version that was read. Object
stores and file locks offer no more than compare-and-swap on one object, so `update_batch` holds the loop around it.
"""

import contextlib
import dataclasses
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from voice_core.corpus.ingest.batch_model import BATCH_VERSION, Batch, Recording
from voice_core.corpus.ingest.recordings import Stray
from voice_core.layout import BATCHES, CONTENTS, PartitionKey, batch_key
from voice_core.storage.distributed_lock import hold_lock
from voice_core.storage.state_files import DamagedStateError, parse_state
from voice_core.storage.store import ConflictError, Store

_REMEDY = "Run `voice build` to rebuild it"


class _OtherBatchError(DamagedStateError):
    def __init__(self, store: Store, key: str, batch: Batch) -> None:
        super().__init__(store, key, f"describes another batch, {batch.partition}", _REMEDY)
        self.batch = batch


def parse_batch(store: Store, partition: PartitionKey, data: bytes) -> Batch:
    """Parse a batch file. Raises `DamagedStateError`, also if the file describes another batch."""
    key = batch_key(partition)
    batch = parse_state(store, key, data, Batch, version=BATCH_VERSION, remedy=_REMEDY)
    if batch.partition != partition:
        raise _OtherBatchError(store, key, batch)
    return batch


def read_batch(store: Store, partition: PartitionKey) -> Batch:
    """Read a batch. Raises `LookupError` if it was never discovered, `StateFileError` if its file is damaged."""
    data = store.find(batch_key(partition))
    if data is None:
        raise LookupError(f"there is no batch {partition} under {store.url}: run `voice build` or the discovery sensor")
    return parse_batch(store, partition, data)


def write_batch(store: Store, batch: Batch) -> None:
    """Write a new batch. Raises `ConflictError` if a batch of this number exists."""
    store.put(batch_key(batch.partition), batch.to_bytes(), if_absent=True)


def replace_batch(store: Store, batch: Batch, before: Batch) -> None:
    """Write a batch in place of `before`. Raises `ConflictError` if the file has changed since `before` was read."""
    key = batch_key(batch.partition)
    # A local file system has no conditional write, so a lock makes comparing and writing one step.
    local = store.local_root is not None
    with hold_lock(store, f"batches {batch.channel}") if local else contextlib.nullcontext(store) as store:
        info, data = store.head(key), store.find(key)
        if info is None or data is None or parse_batch(store, before.partition, data) != before:
            raise ConflictError(f"put {store.url}/{key}: another process has written it since it was read")
        store.put(key, batch.to_bytes(), if_unchanged=info)


def update_batch(store: Store, partition: PartitionKey, change: Callable[[Batch], Batch]) -> Batch:
    """Read a batch, apply `change` and write the result; repeat if another process wrote the batch in between.

    `change` may run more than once. Nothing is written if it returns an equal batch. Returns the stored batch. Raises
    as `read_batch`.
    """
    while True:
        before = read_batch(store, partition)
        batch = change(before)
        if batch == before:
            return batch
        try:
            replace_batch(store, batch, before)
        except ConflictError:
            continue
        return batch


def update_recordings(store: Store, partition: PartitionKey, change: Callable[[Recording], Recording | None]) -> Batch:
    """`update_batch` with a change of each recording; None removes the recording."""

    def change_all(batch: Batch) -> Batch:
        changed = map(change, batch.recordings)
        return dataclasses.replace(batch, recordings=tuple(item for item in changed if item is not None))

    return update_batch(store, partition, change_all)


@dataclass(frozen=True, slots=True)
class BatchListing:
    """The objects under `batches/`. `contents` are the batches that have a file of content hashes."""

    partitions: tuple[PartitionKey, ...]
    contents: frozenset[PartitionKey]
    strays: tuple[Stray, ...]

    @property
    def missing(self) -> list[PartitionKey]:
        """Batches that have content hashes but no batch file."""
        return sorted(self.contents - set(self.partitions))


def list_batches(store: Store) -> BatchListing:
    """List the batch files without reading them."""
    partitions: list[PartitionKey] = []
    contents: set[PartitionKey] = set()
    strays: list[Stray] = []
    for item in store.listing(BATCHES):
        name = item.key.removeprefix(BATCHES)
        stem = name.removesuffix(".json").removesuffix(CONTENTS)
        partition = PartitionKey.find(stem) if name.endswith(".json") else None
        if partition is None:
            strays.append(Stray(f"{store.url}/{item.key}", "not the name of a batch file"))
        elif item.key == batch_key(partition):
            partitions.append(partition)
        else:
            contents.add(partition)
    return BatchListing(tuple(sorted(partitions)), frozenset(contents), tuple(strays))


def list_partitions(store: Store) -> list[PartitionKey]:
    """The partition keys of all batches, sorted."""
    return list(list_batches(store).partitions)


@dataclass(frozen=True, slots=True)
class BatchReadResult:
    """The batches that were read, the errors of damaged files, and files that describe another channel's batch."""

    batches: tuple[Batch, ...]
    damaged: Mapping[PartitionKey, DamagedStateError]
    strays: tuple[Stray, ...]


def try_read_batches(store: Store, partitions: Iterable[PartitionKey]) -> BatchReadResult:
    """Read these batches. Missing batches are left out."""
    by_key = {batch_key(partition): partition for partition in partitions}
    found: list[Batch] = []
    damaged: dict[PartitionKey, DamagedStateError] = {}
    strays: list[Stray] = []
    for partition, data in zip(by_key.values(), store.map_keys(store.find, by_key), strict=True):
        if data is None:
            continue
        try:
            found.append(parse_batch(store, partition, data))
        except _OtherBatchError as error:
            if error.batch.partition.channel == partition.channel:
                damaged[partition] = error
            else:
                strays.append(Stray(f"{store.url}/{error.key}", error.why))
        except DamagedStateError as error:
            damaged[partition] = error
    return BatchReadResult(tuple(found), damaged, tuple(strays))


def read_batches(store: Store, partitions: Iterable[PartitionKey] | None = None) -> list[Batch]:
    """Read these batches, or all. Missing batches are left out. Raises `StateFileError` if a file is damaged."""
    found = try_read_batches(store, list_partitions(store) if partitions is None else partitions)
    for error in found.damaged.values():
        raise error
    return list(found.batches)
