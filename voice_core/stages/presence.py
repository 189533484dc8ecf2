"""Whether the files that commit records list are there: names and sizes, by listings. No file is read."""

from collections.abc import Iterable, Mapping
from typing import Any

from voice_core.layout import PartitionKey, stage_prefix
from voice_core.stages.evicted import EvictedFiles, read_evicted
from voice_core.stages.manifest import FilesByKey, Manifest
from voice_core.storage.store import Store


def describe_missing_files(files: FilesByKey, there: Mapping[str, int], evicted: Mapping[str, str]) -> str:
    """What is wrong, in words; "" where all files are there with their sizes, or were freed.

    >>> describe_missing_files({"a": (5, "x"), "b": (5, "y"), "c": (5, "z")}, {"a": 5, "b": 4}, {"c": "z"})
    '1 file has another size than was committed'
    >>> describe_missing_files({"a": (5, "x"), "b": (5, "y")}, {}, {})
    '2 files are missing'
    """
    missing = sum(key not in there and evicted.get(key) != digest for key, (_, digest) in files.items())
    resized = sum(key in there and there[key] != size for key, (size, _) in files.items())
    problems = [
        f"{count} {'file' if count == 1 else 'files'} {singular if count == 1 else plural}"
        for count, singular, plural in (
            (missing, "is missing", "are missing"),
            (resized, "has another size than was committed", "have other sizes than were committed"),
        )
        if count
    ]
    return " and ".join(problems)


def check_stage_files(work: Store, manifest: Manifest, *, any_evicted: bool) -> str:
    """The same for the files of a stage's manifest, by one listing of its folder. Raises `UnreadableRowsError`."""
    files = manifest.files_by_key()
    partition = PartitionKey.parse(manifest.partition)
    there = {item.key: item.size for item in work.listing(stage_prefix(manifest.stage, partition))}
    evicted = read_evicted(work, manifest.stage, partition) if any_evicted else {}
    return describe_missing_files(files, there, evicted)


def files_from_records(records: Iterable[Mapping[str, Any]], there: Mapping[str, int]) -> FilesByKey:
    """The files of a commit record in JSON. Old ones name no sizes: any will do."""
    return {
        item["key"]: (item["size_bytes"] if "size_bytes" in item else there.get(item["key"], -1), item["sha256"])
        for item in records
    }


def are_files_intact(work: Store, records: Iterable[Mapping[str, Any]], *, verify: bool = False) -> bool:
    """Whether each file of a commit record in JSON is there with its committed size; with `verify`, also its hash.

    Evicted files count as there. Records of older versions have no sizes: any size is accepted.
    """
    by_key = {str(item["key"]): item for item in records}
    evicted = EvictedFiles(work)

    def is_intact(key: str) -> bool:
        committed = by_key[key]
        if evicted.contains(key, committed["sha256"]):
            return True
        info = work.head(key)
        present = info is not None and committed.get("size_bytes") in (None, info.size)
        return present and (not verify or work.hash(key) == committed["sha256"])

    return all(work.map_keys(is_intact, by_key))
