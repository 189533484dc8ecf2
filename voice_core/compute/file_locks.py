"""Locks on files that are already open, and the wait for a lock that another process holds.

Plain mutual exclusion uses the library filelock (the Dagster instance, sample data, the scratch ledger). The locks here
are `flock` on a descriptor that the caller opened, which filelock does not offer: a `FileLock` opens its file itself
and does not give access to the descriptor. They are needed where

- the locked file holds data about its holder, which the holder writes and other processes read through the descriptor
  that they try to lock (`gpu_lock`, `distributed_lock`, the reservations of `scratch`);
- the locked file is the data itself, and is renamed or removed while it is locked (the part files of `local_files`).

The kernel releases a lock when its holder ends, however it ends.
"""

import fcntl
import logging
import os
import time
from collections.abc import Callable
from pathlib import Path


def try_lock(descriptor: int) -> bool:
    """Lock an open file until it is closed. Returns False, without waiting, if another descriptor holds the lock."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def lock(descriptor: int) -> None:
    """Lock an open file until it is closed. Waits while another descriptor holds the lock."""
    fcntl.flock(descriptor, fcntl.LOCK_EX)


def unlock(descriptor: int) -> None:
    """Release a lock. Needed where a forked child may have the descriptor too: closing it is then not enough."""
    fcntl.flock(descriptor, fcntl.LOCK_UN)


def same_file(path: Path, descriptor: int) -> bool:
    """Whether an open file is the one at `path`. A lock on a file that was removed since excludes no process."""
    try:
        return path.stat().st_ino == os.fstat(descriptor).st_ino
    except FileNotFoundError:
        return False


class LockWaiter:
    """Waits between tries for a lock. Logs the reason at the first wait and then every `log_interval_sec` seconds."""

    def __init__(
        self, logger: logging.Logger, poll_sec: float, log_interval_sec: float, timeout_sec: float = float("inf")
    ) -> None:
        self._logger, self._poll_sec, self._log_interval_sec = logger, poll_sec, log_interval_sec
        self._timeout_sec = timeout_sec
        self._started = time.monotonic()
        self._logged: float | None = None

    @property
    def has_waited(self) -> bool:
        return self._logged is not None

    @property
    def elapsed_sec(self) -> float:
        return time.monotonic() - self._started

    def wait(self, describe: Callable[[], str]) -> bool:
        """Wait until the next try. Returns False, without waiting, once `timeout_sec` has passed."""
        elapsed = self.elapsed_sec
        if elapsed > self._timeout_sec:
            return False
        if self._logged is None or elapsed - self._logged >= self._log_interval_sec:
            self._logger.info("%s", describe())
            self._logged = elapsed
        time.sleep(self._poll_sec)
        return True
