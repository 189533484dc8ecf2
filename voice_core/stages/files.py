"""Whether the files that a commit record lists are there, by size or by content."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from voice_core.fingerprint import sha256
from voice_core.storage.store import ObjectNotFoundError, Store, StoreError

FilesByKey = dict[str, tuple[int | None, str]]
"""Size in bytes and SHA-256 of listed files by key. A size of None is not compared."""
_STREAMED = (".parquet", ".wav")  # may be too large to hold in memory


class FileState(StrEnum):
    """What became of a listed file. An evicted one was deleted on purpose and can be rebuilt."""

    INTACT = "intact"
    EVICTED = "evicted"
    MISSING = "missing"
    RESIZED = "resized"
    CHANGED = "changed"
    UNREADABLE = "unreadable"

    @property
    def counts_as_present(self) -> bool:
        return self in (FileState.INTACT, FileState.EVICTED)


def compare_sizes(
    files: Mapping[str, tuple[int | None, str]], sizes: Mapping[str, int], evicted: Mapping[str, str] | None = None
) -> dict[str, FileState]:
    """The state of each listed file, by the sizes of the files that are there. `evicted`: SHA-256 by key. Pure.

    >>> found = compare_sizes({"a": (5, "x"), "b": (5, "y"), "c": (5, "z")}, {"a": 5, "b": 4}, {"c": "z"})
    >>> {key: str(state) for key, state in found.items()}
    {'a': 'intact', 'b': 'resized', 'c': 'evicted'}
    """
    evicted = evicted or {}

    def state(key: str, size: int | None, digest: str) -> FileState:
        if key not in sizes:
            return FileState.EVICTED if evicted.get(key) == digest else FileState.MISSING
        return FileState.INTACT if size is None or sizes[key] == size else FileState.RESIZED

    return {key: state(key, size, digest) for key, (size, digest) in files.items()}


def check_files(
    store: Store,
    files: Mapping[str, tuple[int | None, str]],
    sizes: Mapping[str, int],
    evicted: Mapping[str, str] | None = None,
    *,
    verify: bool = False,
) -> dict[str, FileState]:
    """The state of each listed file. `sizes` come from a listing; with `verify`, content is read and compared, too.

    Raises StoreError.
    """
    found = compare_sizes(files, sizes, evicted)
    if verify:
        same_size = [key for key, state in found.items() if state is FileState.INTACT]
        hashes = store.map_keys(store.hash, same_size)
        changed = [key for key, digest in zip(same_size, hashes, strict=True) if digest != files[key][1]]
        found |= dict.fromkeys(changed, FileState.CHANGED)
    return found


def list_sizes(store: Store, prefix: str) -> dict[str, int]:
    """Size by key of all files below a prefix."""
    return {item.key: item.size for item in store.listing(prefix)}


def find_sizes(store: Store, keys: Iterable[str]) -> dict[str, int]:
    """Size by key of those of some files that are there."""
    found = store.map_keys(store.head, keys)
    return {info.key: info.size for info in found if info is not None}


def describe_problems(states: Iterable[FileState]) -> str:
    """What is wrong, in words; "" where all files are there with their sizes, or were evicted.

    >>> describe_problems([FileState.INTACT, FileState.RESIZED, FileState.EVICTED])
    '1 file differs in size from the committed file'
    >>> describe_problems([FileState.MISSING, FileState.MISSING])
    '2 files are missing'
    """
    counts = Counter(states)
    problems = [
        f"{counts[state]} {f'file {singular}' if counts[state] == 1 else f'files {plural}'}"
        for state, singular, plural in (
            (FileState.MISSING, "is missing", "are missing"),
            (FileState.RESIZED, "differs in size from the committed file", "differ in size from the committed files"),
        )
        if counts[state]
    ]
    return " and ".join(problems)


@dataclass(frozen=True, slots=True)
class FileAudit:
    """What reading a file found. `size_bytes` is 0 for one that is not read to its end."""

    state: FileState
    size_bytes: int = 0
    error: str = ""


def audit_file(store: Store, key: str, digest: str, is_evicted: Callable[[str, str], bool]) -> FileAudit:
    """Read a file and compare its SHA-256. A file that cannot be read is a result, not an error."""
    try:
        if key.endswith(_STREAMED):
            info = store.head(key)
            size, found = info.size if info else 0, store.hash(key)
        else:
            data = store.get(key)
            size, found = len(data), sha256(data)
    except ObjectNotFoundError as error:
        evicted = is_evicted(key, digest)
        return FileAudit(FileState.EVICTED) if evicted else FileAudit(FileState.MISSING, error=str(error))
    except StoreError as error:
        return FileAudit(FileState.UNREADABLE, error=str(error))
    return FileAudit(FileState.INTACT if found == digest else FileState.CHANGED, size)
