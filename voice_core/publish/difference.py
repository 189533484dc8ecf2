"""What a publication would change: the dataset here, the files there, and which of those are ours. Pure."""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

HUB_RECORD = "dataset.json"  # at the hub it lists every file that was put there
_ROWS = re.compile(r"(data|neutts|pairs)/[^/]+/batch-\d{4,}\.(train|test)\.parquet")
_PUBLISHED_PATHS = re.compile(rf"README\.md|figures/[^/]+|{_ROWS.pattern}")


@dataclass(frozen=True, slots=True)
class LocalFile:
    """A file of the dataset: a small one with its content, or a Parquet file that lies under `key`."""

    path: str  # in the repository
    size: int
    sha256: str
    key: str = ""
    git_sha1: str = ""  # of small files only
    data: bytes | None = field(default=None, repr=False)

    def as_record(self) -> dict[str, Any]:
        value = {"path": self.path, "sha256": self.sha256, "size_bytes": self.size}
        return value | ({"git_sha1": self.git_sha1} if self.git_sha1 else {})


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """A file of a revision. The hub knows a large file by its SHA-256, a small one by its git blob's SHA-1."""

    path: str
    size: int
    blob_id: str
    sha256: str = ""  # of large files only

    @property
    def identity(self) -> str:
        return self.sha256 or self.blob_id


KnownIdentities = Mapping[str, frozenset[str]]  # path → the identities that it had when it was published from here


@dataclass(frozen=True, slots=True)
class Difference:
    """What has to be done to a revision so that it holds the dataset.

    `conflicts` are files among those that somebody else changed since they were published; `unrecognised` are files
    that were never published from here, stay, and yet are read as rows.
    """

    added: tuple[LocalFile, ...] = ()
    changed: tuple[LocalFile, ...] = ()
    deleted: tuple[str, ...] = ()
    unchanged: int = 0
    conflicts: tuple[str, ...] = ()
    unrecognised: tuple[str, ...] = ()

    @property
    def empty(self) -> bool:
        return not (self.added or self.changed or self.deleted)

    @property
    def uploads(self) -> tuple[LocalFile, ...]:
        return self.added + self.changed

    @property
    def bytes(self) -> int:
        """Of the files that are added or changed; fewer are sent where the hub already has some of them."""
        return sum(file.size for file in self.uploads)


def compare_files(local: Iterable[LocalFile], remote: Mapping[str, RemoteFile], known: KnownIdentities) -> Difference:
    """The difference between the dataset and a revision, of which `known` says what was published from here."""
    wanted = {file.path: file for file in local}
    added, changed, deleted, conflicts = [], [], [], []
    unchanged = 0
    for path, file in sorted(wanted.items()):
        there = remote.get(path)
        if there is None:
            added.append(file)
        elif there.identity in (file.sha256, file.git_sha1):
            unchanged += 1
        else:
            changed.append(file)
            if there.identity not in known.get(path, ()):
                conflicts.append(path)
    for path in sorted(known.keys() - wanted.keys()):
        there = remote.get(path)
        if there is not None:
            deleted.append(path)
            if there.identity not in known[path]:
                conflicts.append(path)
    unrecognised = [
        path for path in sorted(remote) if _ROWS.fullmatch(path) and path not in wanted and path not in known
    ]
    return Difference(tuple(added), tuple(changed), tuple(deleted), unchanged, tuple(conflicts), tuple(unrecognised))


def group_identities(records: Iterable[Mapping[str, Any]]) -> dict[str, frozenset[str]]:
    """By path, the identities that lists of published files give.

    >>> group_identities([{"path": "README.md", "sha256": "a", "git_sha1": "b"}]) == {"README.md": frozenset("ab")}
    True
    """
    known: dict[str, frozenset[str]] = {}
    for item in records:
        names = {item["sha256"], item.get("git_sha1") or item["sha256"]}
        known[item["path"]] = known.get(item["path"], frozenset()) | names
    return known


def parse_hub_record(data: bytes | None) -> list[dict[str, Any]]:
    """The files that a hub's dataset.json lists; none where it is missing, or not one of ours."""
    try:
        value = json.loads(data) if data is not None else None
    except ValueError:
        return []
    files = [*value.get("files", ()), *value.get("card", ())] if isinstance(value, dict) else []
    if not all(isinstance(item, dict) and {"path", "sha256"} <= item.keys() for item in files):
        return []
    # A list that somebody edited cannot lead to the deletion of what lies elsewhere.
    return [item for item in files if _PUBLISHED_PATHS.fullmatch(str(item["path"]))]


def split_by_size(files: Iterable[LocalFile], limit_bytes: int) -> Iterator[list[LocalFile]]:
    """Files in their order, as many at a time as stay below the limit; one that is larger comes alone.

    >>> sizes = [LocalFile(str(n), n, "") for n in (2, 3, 9, 1)]
    >>> [[file.size for file in part] for part in split_by_size(sizes, 5)]
    [[2, 3], [9], [1]]
    """
    part: list[LocalFile] = []
    for file in files:
        if part and sum(item.size for item in part) + file.size > limit_bytes:
            yield part
            part = []
        part.append(file)
    if part:
        yield part
