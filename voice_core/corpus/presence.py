"""Whether the files of the voice dataset's manifests are there. Evicted files count as there."""

from collections.abc import Iterable, Mapping
from typing import Any

from voice_core.corpus.evicted import EvictedFiles, read_evicted
from voice_core.corpus.manifest import Manifest
from voice_core.layout import PartitionKey, stage_prefix
from voice_core.stages.files import FilesByKey, FileState, check_files, describe_problems, find_sizes, list_sizes
from voice_core.storage.store import Store


def stage_file_states(
    work: Store, manifest: Manifest, *, verify: bool = False, any_evicted: bool = True
) -> dict[str, FileState]:
    """The state of each file of a stage, by one listing of its folder; with `verify`, by content.

    `any_evicted=False` says that none are evicted, which saves a read. Raises `UnreadableRowsError` and StoreError.
    """
    partition = PartitionKey.parse(manifest.partition)
    sizes = list_sizes(work, stage_prefix(manifest.stage, partition))
    evicted = read_evicted(work, manifest.stage, partition) if any_evicted else {}
    return check_files(work, manifest.files_by_key(), sizes, evicted, verify=verify)


def intact_keys(work: Store, manifest: Manifest | None, *, verify: bool) -> set[str]:
    """Keys of the manifest's files that are there with the committed size, with `verify` with the committed hash, or
    that were evicted."""
    if manifest is None:
        return set()
    return {key for key, state in stage_file_states(work, manifest, verify=verify).items() if state.counts_as_present}


def check_stage_files(work: Store, manifest: Manifest, *, any_evicted: bool) -> str:
    """What is wrong with a stage's files, in words; "" where nothing is. Raises `UnreadableRowsError`."""
    return describe_problems(stage_file_states(work, manifest, any_evicted=any_evicted).values())


def files_from_records(records: Iterable[Mapping[str, Any]]) -> FilesByKey:
    """The files of a commit record in JSON. Old records name no sizes."""
    return {item["key"]: (item.get("size_bytes"), item["sha256"]) for item in records}


def are_files_intact(work: Store, records: Iterable[Mapping[str, Any]], *, verify: bool = False) -> bool:
    """Whether each file of a commit record in JSON is there with its committed size, with `verify` with its hash, or
    was evicted. Raises StoreError."""
    evicted_files = EvictedFiles(work)
    files = files_from_records(records)
    evicted = {key: digest for key, (_, digest) in files.items() if evicted_files.contains(key, digest)}
    present = {key: file for key, file in files.items() if key not in evicted}
    states = check_files(work, present, find_sizes(work, present), verify=verify)
    return all(state.counts_as_present for state in states.values())
