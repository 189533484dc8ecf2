"""What a publication would change: local files, files at the hub, and which of those were published from here. Pure.

`find_copies` finds the files that need not be sent: the hub copies their content from another path or branch.
"""

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from voice_core.layout import RowsFile

HUB_RECORD = "dataset.json"  # at the hub it lists every published file
_CARD_FILES = re.compile(r"README\.md|figures/[^/]+")


@dataclass(frozen=True, slots=True)
class LocalFile:
    """A file of the dataset: a small one with its content, or a Parquet file under `key` in the work root."""

    path: str  # in the repository
    size: int
    sha256: str
    key: str = ""
    git_sha1: str = ""  # of small files only
    data: bytes | None = field(default=None, repr=False)
    config: str = ""  # config, split and rows of Parquet files only
    split: str = ""
    rows: int = 0

    def as_record(self) -> dict[str, Any]:
        value = {"path": self.path, "sha256": self.sha256, "size_bytes": self.size}
        return value | ({"git_sha1": self.git_sha1} if self.git_sha1 else {})


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """A file of a revision. The hub identifies large files by SHA-256, small ones by the SHA-1 of the git blob."""

    path: str
    size: int
    blob_id: str
    sha256: str = ""  # of large files only

    @property
    def identity(self) -> str:
        return self.sha256 or self.blob_id


KnownIdentities = Mapping[str, frozenset[str]]  # path → the identities that were published from here


@dataclass(frozen=True, slots=True)
class Difference:
    """The changes that make a revision hold the dataset.

    `conflicts` are those of the files that another user changed since they were published; `unrecognised` are files
    that were not published from here and are kept, although their names match those of the dataset's rows.
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
        """Size of the added and changed files; fewer bytes are sent if the hub already has some of them."""
        return sum(file.size for file in self.uploads)


def compare_files(local: Iterable[LocalFile], remote: Mapping[str, RemoteFile], known: KnownIdentities) -> Difference:
    """The difference between the dataset and a revision; `known` says what was published from here."""
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
        path for path in sorted(remote) if RowsFile.parse(path) and path not in wanted and path not in known
    ]
    return Difference(tuple(added), tuple(changed), tuple(deleted), unchanged, tuple(conflicts), tuple(unrecognised))


def group_identities(records: Iterable[Mapping[str, Any]]) -> dict[str, frozenset[str]]:
    """The identities by path of lists of published files.

    >>> group_identities([{"path": "README.md", "sha256": "a", "git_sha1": "b"}]) == {"README.md": frozenset("ab")}
    True
    """
    known: dict[str, frozenset[str]] = {}
    for item in records:
        names = {item["sha256"], item.get("git_sha1") or item["sha256"]}
        known[item["path"]] = known.get(item["path"], frozenset()) | names
    return known


def parse_hub_record(data: bytes | None) -> list[dict[str, Any]]:
    """The files that a hub's dataset.json lists; none if it is missing or was not written by this project."""
    try:
        value = json.loads(data) if data is not None else None
    except ValueError:
        return []
    files = [*value.get("files", ()), *value.get("card", ())] if isinstance(value, dict) else []
    if not all(isinstance(item, dict) and {"path", "sha256"} <= item.keys() for item in files):
        return []
    # Other paths are ignored, so that an edited list cannot cause the deletion of other files.
    return [item for item in files if _CARD_FILES.fullmatch(path := str(item["path"])) or RowsFile.parse(path)]


def split_by_size(files: Iterable[LocalFile], limit_bytes: int) -> Iterator[list[LocalFile]]:
    """Groups of files in order, each below the limit; a file that is larger than the limit is a group of its own.

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


@dataclass(frozen=True, slots=True)
class CopySource:
    """A large file of a revision of the repository."""

    path: str
    revision: str


Copies = Mapping[str, CopySource]  # by SHA-256


def find_copies(
    files: Iterable[LocalFile], revisions: Iterable[str], list_files: Callable[[str], Mapping[str, RemoteFile]]
) -> dict[str, CopySource]:
    """Where the revisions of the repository have the content of these files. Lists no more revisions than needed."""
    wanted = {file.sha256 for file in files}
    found: dict[str, CopySource] = {}
    for revision in revisions:
        if found.keys() == wanted:
            break
        for file in list_files(revision).values():
            if file.sha256 in wanted:
                found.setdefault(file.sha256, CopySource(file.path, revision))
    return found
