"""How a stage's result is committed: invalidate, work with checkpoints, clean up, commit."""

import dataclasses
import time
from collections.abc import Iterable

from voice_core.layout import PartitionKey, manifest_key, stage_prefix
from voice_core.stages.evicted import prune_evicted, read_evicted
from voice_core.stages.manifest import Entry, Manifest, RecordingOutcome, sorted_entries, write_manifest
from voice_core.storage.store import Store

_CHECKPOINT_SEC = 20.0


class Checkpoint:
    """The incomplete manifest of a stage at work. It lists what is certain; a killed run goes on from it.

    `begin` is called before the first file is overwritten or removed, so that at no time a complete manifest
    lists a file that is not as it says.
    """

    def __init__(self, store: Store, draft: Manifest) -> None:
        self._store = store
        self._draft = dataclasses.replace(draft, complete=False)
        self._entries: list[Entry] = list(draft.entries)
        self._written = 0.0

    def begin(self) -> None:
        self._write()

    def add(self, entries: Iterable[Entry]) -> None:
        """Note rows whose files are written."""
        self._entries.extend(entries)
        if time.monotonic() - self._written > _CHECKPOINT_SEC:
            self._write()

    def add_outcome(self, outcome: RecordingOutcome) -> None:
        """Note that a recording is finished."""
        self._draft = dataclasses.replace(self._draft, recordings=(*self._draft.recordings, outcome))

    def _write(self) -> None:
        write_manifest(self._store, dataclasses.replace(self._draft, entries=sorted_entries(self._entries)))
        self._written = time.monotonic()


def intact_keys(store: Store, manifest: Manifest | None, *, verify: bool) -> set[str]:
    """Keys of the manifest's files that are there with the committed size; with `verify`, with the committed hash.

    Files that were freed count as there.
    """
    if manifest is None:
        return set()
    partition = PartitionKey.parse(manifest.partition)
    there = {item.key: item.size for item in store.listing(stage_prefix(manifest.stage, partition))}
    evicted = read_evicted(store, manifest.stage, partition)
    evicted_keys = {e.key for e in manifest.files() if e.key not in there and evicted.get(e.key) == e.sha256}
    same_size = {e.key: e.sha256 for e in manifest.files() if there.get(e.key) == e.size_bytes}
    if not verify:
        return evicted_keys | set(same_size)
    hashes = store.map_keys(store.hash, same_size)
    return evicted_keys | {key for key, found in zip(same_size, hashes, strict=True) if found == same_size[key]}


def unchanged_files(old: Manifest | None, new: Manifest, *, verify: bool) -> dict[str, int]:
    """Sizes by key of the files that are as an earlier, complete manifest lists them: nobody need read them again."""
    if old is None or not old.complete or verify:
        return {}
    before = {entry.key: entry.sha256 for entry in old.files()}
    return {entry.key: entry.size_bytes for entry in new.files() if before.get(entry.key) == entry.sha256}


def commit(store: Store, manifest: Manifest, *, sweep: bool) -> Manifest:
    """Make `manifest` the partition's result. With `sweep`, first remove every file that it does not list."""
    manifest = dataclasses.replace(manifest, complete=True, entries=sorted_entries(manifest.entries))
    partition = PartitionKey.parse(manifest.partition)
    if sweep:
        listed = {entry.key for entry in manifest.entries} | {manifest_key(manifest.stage, partition)}
        there = (item.key for item in store.listing(stage_prefix(manifest.stage, partition)))
        store.delete([key for key in there if key not in listed])
    write_manifest(store, manifest)
    prune_evicted(store, manifest.stage, partition, [(entry.key, entry.sha256) for entry in manifest.files()])
    return manifest
