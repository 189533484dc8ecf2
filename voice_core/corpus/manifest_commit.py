"""How a stage of the voice dataset is committed: checkpoints, clean-up, the complete manifest, evicted files."""

import dataclasses
from collections.abc import Iterable

from voice_core.corpus.evicted import prune_evicted
from voice_core.corpus.manifest import Entry, Manifest, RecordingOutcome, sorted_entries
from voice_core.layout import PartitionKey, manifest_key, stage_prefix
from voice_core.stages.commit import CheckpointWriter, commit_manifest
from voice_core.storage.store import Store


class Checkpoint:
    """The incomplete manifest of a stage at work. It lists what is certain; a killed run is resumed from it.

    Call `begin` before the first file is overwritten or removed.
    """

    def __init__(self, store: Store, draft: Manifest) -> None:
        self._draft = dataclasses.replace(draft, complete=False)
        self._entries: list[Entry] = list(draft.entries)
        key = manifest_key(draft.stage, PartitionKey.parse(draft.partition))
        self._writer = CheckpointWriter(store, key, self._current)

    def begin(self) -> None:
        self._writer.write()

    def add(self, entries: Iterable[Entry]) -> None:
        """Note rows whose files are written."""
        self._entries.extend(entries)
        self._writer.write_if_due()

    def add_outcome(self, outcome: RecordingOutcome) -> None:
        """Note that a recording is finished."""
        self._draft = dataclasses.replace(self._draft, recordings=(*self._draft.recordings, outcome))

    def _current(self) -> Manifest:
        return dataclasses.replace(self._draft, entries=sorted_entries(self._entries))


def unchanged_files(old: Manifest | None, new: Manifest, *, verify: bool) -> dict[str, int]:
    """Sizes by key of the files that are as an earlier, complete manifest lists them: they need not be read again."""
    if old is None or not old.complete or verify:
        return {}
    before = {entry.key: entry.sha256 for entry in old.files()}
    return {entry.key: entry.size_bytes for entry in new.files() if before.get(entry.key) == entry.sha256}


def commit_stage(store: Store, manifest: Manifest, *, sweep: bool) -> Manifest:
    """Make `manifest` the partition's result. With `sweep`, first remove every file that it does not list."""
    manifest = dataclasses.replace(manifest, complete=True, entries=sorted_entries(manifest.entries))
    partition = PartitionKey.parse(manifest.partition)
    commit_manifest(
        store,
        manifest_key(manifest.stage, partition),
        manifest,
        stage_prefix(manifest.stage, partition),
        {entry.key for entry in manifest.entries} if sweep else None,
    )
    prune_evicted(store, manifest.stage, partition, [(entry.key, entry.sha256) for entry in manifest.files()])
    return manifest
