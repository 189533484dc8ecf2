"""Locks on files, which the kernel takes back whatever becomes of their holder."""

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path
from typing import IO


def try_lock(descriptor: int) -> bool:
    """Lock an open file, until it is closed; False, at once, where another has it."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


@contextlib.contextmanager
def locked_file(path: Path) -> Iterator[IO[bytes]]:
    """Open a file for reading and appending, once no other process has it open in this way."""
    while True:
        with path.open("a+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            if same_file(path, file.fileno()):
                yield file
                return


def same_file(path: Path, descriptor: int) -> bool:
    """Whether an open file is the one at `path`: a lock on one that was removed since excludes nobody."""
    try:
        return path.stat().st_ino == os.fstat(descriptor).st_ino
    except FileNotFoundError:
        return False
