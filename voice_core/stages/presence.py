"""Whether the files that commit records list are there: names and sizes, by listings. No file is read."""

from collections.abc import Iterable, Mapping
from typing import Any

from voice_core.layout import PartitionKey, stage_prefix
from voice_core.stages.evicted import read_freed
from voice_core.stages.manifest import Files, Manifest
from voice_core.storage.store import Store


def absent_from(files: Files, there: Mapping[str, int], freed: Mapping[str, str]) -> str:
    """What is wrong, in words; "" where all files are there with their sizes, or were freed.

    >>> absent_from({"a": (5, "x"), "b": (5, "y"), "c": (5, "z")}, {"a": 5, "b": 4}, {"c": "z"})
    '1 file has another size than was committed'
    >>> absent_from({"a": (5, "x"), "b": (5, "y")}, {}, {})
    '2 files are missing'
    """
    missing = sum(key not in there and freed.get(key) != digest for key, (_, digest) in files.items())
    resized = sum(key in there and there[key] != size for key, (size, _) in files.items())
    told = [
        f"{count} {'file' if count == 1 else 'files'} {one if count == 1 else more}"
        for count, one, more in (
            (missing, "is missing", "are missing"),
            (resized, "has another size than was committed", "have other sizes than were committed"),
        )
        if count
    ]
    return " and ".join(told)


def absent_files(work: Store, manifest: Manifest, *, any_freed: bool) -> str:
    """The same for the files of a stage's manifest, by one listing of its folder. Raises `UnreadableRowsError`."""
    files = manifest.listed()
    partition = PartitionKey.parse(manifest.partition)
    there = {item.key: item.size for item in work.listing(stage_prefix(manifest.stage, partition))}
    freed = read_freed(work, manifest.stage, partition) if any_freed else {}
    return absent_from(files, there, freed)


def files_of(records: Iterable[Mapping[str, Any]], there: Mapping[str, int]) -> Files:
    """The files of a commit record in JSON. Old ones name no sizes: any will do."""
    return {
        item["key"]: (item["size_bytes"] if "size_bytes" in item else there.get(item["key"], -1), item["sha256"])
        for item in records
    }
