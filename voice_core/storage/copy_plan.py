"""Plan the mirror of one store to another: what to copy, and in which order. Pure: listings in, steps out."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import PurePosixPath
from typing import Literal

from voice_core.settings.url_overlap import describe_overlap
from voice_core.storage.copy_record import COPY_RECORD_FOLDER, CopiedObject
from voice_core.storage.store import ObjectInfo

_MD5_DIGITS = 32
_EMPTY_MD5 = "d41d8cd98f00b204e9800998ecf8427e"

Action = Literal["new", "replace", "compare", "same"]


@dataclass(frozen=True, slots=True)
class CopyOptions:
    """`include` and `exclude` are globs that match the whole key (`*` also matches slashes)."""

    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    delete: bool = False
    verify: bool = False
    record: bool = True
    jobs: int = 32

    def matches(self, key: str) -> bool:
        wanted = not self.include or any(fnmatchcase(key, glob) for glob in self.include)
        return (
            wanted
            and not any(fnmatchcase(key, glob) for glob in self.exclude)
            and not key.startswith(COPY_RECORD_FOLDER)
        )


@dataclass(frozen=True, slots=True)
class CopyStep:
    """The action for one object; `compare` where only the contents show whether it is the same."""

    action: Action
    source: ObjectInfo
    target: ObjectInfo | None = None
    known: CopiedObject | None = None

    @property
    def key(self) -> str:
        return self.source.key


@dataclass(frozen=True, slots=True)
class CopyFailure:
    key: str
    reason: str


@dataclass(frozen=True, slots=True)
class CopyPlan:
    steps: tuple[CopyStep, ...]  # by key; without objects that are known to be the same
    same: int
    deletions: tuple[str, ...]  # at the destination, commit records first
    invalid_keys: tuple[CopyFailure, ...]  # names that are not valid keys
    folder_markers: int = 0  # empty objects that represent folders in some consoles

    def counts(self) -> dict[Action, int]:
        tally: dict[Action, int] = {"new": 0, "replace": 0, "compare": 0, "same": self.same}
        for step in self.steps:
            tally[step.action] += 1
        return tally


def copy_order(key: str) -> int:
    """Objects of a lower tier are copied before those of a higher one.

    >>> [copy_order(key) for key in ("segments/a/batch-0001/x_seg_0.npz", "segments/a/batch-0001/_manifest.parquet")]
    [0, 1]
    >>> [copy_order(key) for key in ("datasets/v/manifests/a/batch-0001.parquet", "datasets/v/dataset.json")]
    [1, 2]
    >>> copy_order("batches/a/batch-0001.json")
    3
    """
    path = PurePosixPath(key)
    if path.suffix == ".json" and "batches" in path.parts[:-1]:
        return 3
    if path.name == "dataset.json":
        return 2
    return 1 if commit_scope(key) is not None else 0


def commit_scope(key: str) -> str | None:
    """The folder whose files a commit record lists; None for other objects, and for records that list no files.

    >>> commit_scope("segments/a/batch-0001/_manifest.parquet"), commit_scope("datasets/v/manifests/a/b.parquet")
    ('segments/a/batch-0001/', 'datasets/v/')
    >>> commit_scope("dataset.json"), commit_scope("x_seg_0.npz")
    ('', None)
    """
    path = PurePosixPath(key)
    if path.name in ("_manifest.parquet", "dataset.json"):
        return key[: -len(path.name)]
    if "manifests" in path.parts[:-1]:
        head = path.parts[: path.parts.index("manifests")]
        return "/".join(head) + "/" if head else ""
    return None


def parent_folders(keys: Iterable[str]) -> set[str]:
    """All folders above the keys, as prefixes; the root is ""."""
    found: set[str] = set()
    for key in keys:
        at = len(key)
        while at > 0:
            at = key.rfind("/", 0, at)
            folder = key[: at + 1]
            if folder in found:
                break
            found.add(folder)
    return found


def md5_from_etag(info: ObjectInfo | None) -> str:
    """The etag, if it is an MD5; "" otherwise."""
    etag = info.etag.lower() if info else ""
    return etag if len(etag) == _MD5_DIGITS and all(digit in "0123456789abcdef" for digit in etag) else ""


def make_plan(
    source_url: str,
    source: Iterable[ObjectInfo],
    target: Iterable[ObjectInfo],
    known: Callable[[str], CopiedObject | None],
    options: CopyOptions,
) -> CopyPlan:
    """Compare two listings. Pure. Raises `ValueError` if everything would be deleted."""
    there = {item.key: item for item in target if not item.unusable}
    steps: list[CopyStep] = []
    impossible: list[CopyFailure] = []
    same = folder_marks = 0
    wanted: set[str] = set()
    for item in source:
        if not options.matches(item.key):
            continue
        if not item.key or (item.key.endswith("/") and md5_from_etag(item) == _EMPTY_MD5):
            folder_marks += 1
            continue
        wanted.add(item.key)
        if item.unusable:
            impossible.append(CopyFailure(item.key, item.unusable))
            continue
        row, old = known(item.key), there.get(item.key)
        row = row if row is not None and old is not None and row.target_identity == old.identity else None
        action = _action(item, old, row, source_url, options)
        if action == "same":
            same += 1
        else:
            steps.append(CopyStep(action, item, old, row))
    deletions: list[str] = []
    if options.delete:
        if not wanted:
            raise ValueError(
                f"no object of {source_url} is selected, so --delete would empty the destination: "
                "check the URL, --include and --exclude"
            )
        deletions = [key for key in there if options.matches(key) and key not in wanted]
    return CopyPlan(
        tuple(sorted(steps, key=lambda step: step.key)),
        same,
        tuple(sorted(deletions, key=lambda key: (-copy_order(key), key))),
        tuple(sorted(impossible, key=lambda failure: failure.key)),
        folder_marks,
    )


def _action(
    item: ObjectInfo, old: ObjectInfo | None, row: CopiedObject | None, source_url: str, options: CopyOptions
) -> Action:
    if old is None:
        return "new"
    if old.size != item.size:
        return "replace"
    if options.verify:
        return "compare"
    if row is not None and (row.source_url, row.source_identity) == (source_url, item.identity):
        return "same"
    return "same" if md5_from_etag(item) and md5_from_etag(item) == md5_from_etag(old) else "compare"


def refuse_overlap(source_url: str, target_url: str) -> None:
    """Raise `ValueError` if one URL is the other, or inside of it."""
    if how := describe_overlap(source_url, target_url):
        raise ValueError(f"{source_url} {how} {target_url}: a store cannot be copied onto or into itself")
