"""Local files that several processes may write at once, and that survive a power cut.

A file is written as a part file in the same folder (`NAME.part#0`) and then renamed, so a reader sees the old content
or the new one. Each writer has its own part file and holds a lock on it. A part file without a lock was left by a
killed process: the next writer of the same file removes it, or `remove_abandoned_parts` does.

Libraries for atomic writes do not detect abandoned files, and filelock cannot lock the file that is renamed
(`voice_core.compute.file_locks`).
"""

import contextlib
import ctypes
import hashlib
import itertools
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from voice_core.compute.file_locks import same_file, try_lock

LEGACY_PART_SUFFIX = ".part"  # at the end of the part files of earlier versions
# obstore lists no file whose name has only digits after its first "#".
_PART = re.compile(r"[^#]*\.part#\d+", re.DOTALL)
_LONGEST_NAME_BYTES = 240  # file systems allow 255
_MKDIR_TRIES = 100
_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True, slots=True)
class PartFile:
    """A part file and the open descriptor that holds its lock."""

    path: Path
    descriptor: int

    def is_at(self, path: Path) -> bool:
        """Whether the file at `path` is this one."""
        return same_file(path, self.descriptor)


@contextlib.contextmanager
def create_part_file(path: Path) -> Iterator[PartFile]:
    """Create an empty part file for `path`, and remove it at the end unless it was renamed."""
    part = _claim(path)
    try:
        yield part
    finally:
        if part.is_at(part.path):
            part.path.unlink(missing_ok=True)
        os.close(part.descriptor)


def write_file(path: Path, data: bytes) -> None:
    """Write a file atomically: readers see the old content or the new one, also with several writers at once."""
    with create_part_file(path) as part:
        part.path.write_bytes(data)
        part.path.replace(path)


def sync_file_system(folder: Path) -> None:
    """Flush everything that was written to the file system of `folder` to disk.

    One call for thousands of files takes about as long as an fsync of a few of them.
    """
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        if not hasattr(_libc, "syncfs"):  # not Linux
            os.sync()
        elif _libc.syncfs(descriptor):
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    finally:
        os.close(descriptor)


def sync_folder(folder: Path) -> None:
    """Flush the entries of a folder to disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def is_part_file(name: str) -> bool:
    """Whether a file name is that of a part file.

    >>> is_part_file("a.npz.part#0"), is_part_file("episode #12"), is_part_file("a.part")
    (True, False, False)
    """
    return ".part#" in name and _PART.fullmatch(name) is not None


def remove_abandoned_parts(folder: Path) -> int:
    """Remove the part files below a folder that no process is writing. Returns their number."""
    removed = 0
    for place, _, names in os.walk(folder):  # ignores folders that are removed meanwhile
        removed += sum(is_part_file(name) and _remove_abandoned(Path(place, name)) for name in names)
    return removed


def remove_parts(path: Path) -> None:
    """Remove the part files of one file that no process is writing."""
    for part in itertools.takewhile(os.path.lexists, _parts(path)):
        _remove_abandoned(part)


def _parts(path: Path) -> Iterator[Path]:
    name = path.name.replace("#", "%23")
    if len(os.fsencode(name)) > _LONGEST_NAME_BYTES:
        name = hashlib.sha256(os.fsencode(name)).hexdigest()
    return (path.with_name(f"{name}.part#{number}") for number in itertools.count())


def _claim(path: Path) -> PartFile:
    for part in _parts(path):
        while (descriptor := _create(part)) is None:
            if not _remove_abandoned(part):
                break
        if descriptor is None:
            continue  # another writer holds it
        if try_lock(descriptor) and same_file(part, descriptor):
            return PartFile(part, descriptor)
        os.close(descriptor)  # another process removed it as abandoned before it was locked
    raise AssertionError("unreachable: part files have infinitely many numbers")


def _create(part: Path) -> int | None:
    """Create a part file, and its folder if needed. Returns None if the part file exists."""
    for _ in range(_MKDIR_TRIES):  # another process may remove the empty folder again
        with contextlib.suppress(FileNotFoundError):
            try:
                # Never open an existing one: `os.link` may just have made it a second name of a finished file.
                return os.open(part, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666)
            except FileExistsError:
                return None
        part.parent.mkdir(parents=True, exist_ok=True)
    raise FileNotFoundError(f"{part.parent}: another process removed this folder {_MKDIR_TRIES} times")


def _remove_abandoned(part: Path) -> bool:
    """Remove a part file. Returns False if a process is writing it."""
    try:
        descriptor = os.open(part, os.O_RDWR)
    except FileNotFoundError:
        return True
    except PermissionError:
        return False
    try:
        if not (try_lock(descriptor) and same_file(part, descriptor)):
            return False
        part.unlink(missing_ok=True)
        return True
    finally:
        os.close(descriptor)
