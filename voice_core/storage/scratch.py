"""Local copies of remote objects: one folder per machine, with a budget that all processes of the machine share.

Each copy has a reservation: a folder, and a lock file (`NAME.room`) that the owning process keeps locked. The lock file
holds the number of reserved bytes; the budget limits the sum over all locked files. The kernel releases the lock when
the process ends, however it ends. A reservation whose lock is free is abandoned, and is removed when the scratch folder
is opened next.
"""

import contextlib
import logging
import os
import secrets
import shutil
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock

from voice_core.compute.file_locks import lock, try_lock
from voice_core.compute.worker_signals import on_termination
from voice_core.storage.errors import StoreError

_log = logging.getLogger(__name__)

_LEDGER_FILE, _LOCK_SUFFIX = "ledger.lock", ".room"
_WAIT_SEC = 0.05
_LEDGER_POLL_SEC = 0.005  # it is held for less than a millisecond


class ScratchLimitError(StoreError):
    """A copy is larger than the whole budget. The message names the sizes and the setting."""


@dataclass(frozen=True, slots=True)
class AbandonedFiles:
    """Reservations of processes that were killed."""

    count: int
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Scratch:
    """A folder for local copies, and how many bytes they may take. Can be pickled.

    `limit` describes what sets the budget, for messages.
    """

    root: Path
    budget_bytes: int
    limit: str

    def fits(self, size: int) -> bool:
        """Whether a copy of this size can be made at all, with no other reservation."""
        return size <= self.budget_bytes

    @contextlib.contextmanager
    def reserve(self, size: int, what: str) -> Iterator[Path]:
        """Create an empty folder for up to `size` bytes, and remove it at the end. `what` names the copy in messages.

        Waits while the reservations of this and other processes leave too little of the budget. Raises
        `ScratchLimitError` if `size` exceeds the whole budget.
        """
        if not self.fits(size):
            raise ScratchLimitError(f"{what} needs {format_gigabytes(size)} of local disk; {self.limit}")
        reservation = self._reserve(size)
        try:
            _reservations.add(reservation)
            yield reservation.folder
        finally:
            _release(reservation)

    def remove_abandoned(self) -> AbandonedFiles:
        """Remove the reservations of processes that have ended."""
        return self._abandoned(remove=True)

    def find_abandoned(self) -> AbandonedFiles:
        """Count what `remove_abandoned` would remove. Writes nothing."""
        return self._abandoned(remove=False)

    def _abandoned(self, *, remove: bool) -> AbandonedFiles:
        sizes = []
        if not self.root.is_dir():
            return AbandonedFiles(0, 0)
        with self._ledger() if remove else contextlib.nullcontext():
            for path in self.root.glob(f"*{_LOCK_SUFFIX}"):
                with contextlib.suppress(FileNotFoundError), path.open("rb") as file:
                    if not try_lock(file.fileno()):
                        continue
                    sizes.append(_folder_bytes(path.with_suffix("")))
                    if remove:
                        shutil.rmtree(path.with_suffix(""), ignore_errors=True)
                        path.unlink(missing_ok=True)
        return AbandonedFiles(len(sizes), sum(sizes))

    def reserved_bytes(self) -> int:
        """Bytes that running processes have reserved."""
        total = 0
        for path in self.root.glob(f"*{_LOCK_SUFFIX}"):
            with contextlib.suppress(FileNotFoundError), path.open("rb") as file:
                if not try_lock(file.fileno()):
                    total += _parse_reserved_bytes(file.read())
        return total

    def _reserve(self, size: int) -> "_Reservation":
        while True:
            with self._ledger():
                if not size or self.reserved_bytes() + size <= self.budget_bytes:
                    return _Reservation.make(self.root, size)
            time.sleep(_WAIT_SEC)

    def _ledger(self) -> FileLock:
        """The lock under which reservations are counted, made and removed."""
        return FileLock(self.root / _LEDGER_FILE, poll_interval=_LEDGER_POLL_SEC)


@dataclass(frozen=True, slots=True)
class _Reservation:
    folder: Path
    descriptor: int  # of the lock file

    @classmethod
    def make(cls, root: Path, size: int) -> "_Reservation":
        folder = root / f"{os.getpid()}-{secrets.token_hex(6)}"
        descriptor = os.open(folder.with_suffix(_LOCK_SUFFIX), os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
        lock(descriptor)
        os.write(descriptor, str(size).encode())
        folder.mkdir()
        return cls(folder, descriptor)

    def clear(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.with_suffix(_LOCK_SUFFIX).unlink(missing_ok=True)


def find_scratch(local_dir: str, local_gb: float, *, create: bool = False) -> Scratch:
    """The scratch folder of the setting `local_dir`, with the budget of the setting `local_gb`. Raises `StoreError`.

    Without `create` nothing is written, and the folder may be missing.
    """
    root = scratch_root(local_dir, create=create)
    return Scratch(root, round(local_gb * 1e9), f"VOICE_LOCAL_GB allows {local_gb:g}")


def scratch_root(local_dir: str, *, create: bool = True) -> Path:
    """The folder of the setting `local_dir`; one in the system's temporary folder if empty. Raises `StoreError`."""
    root = Path(local_dir).expanduser() if local_dir else _default_root()
    try:
        if create:
            root.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not local_dir and root.exists() and root.lstat().st_uid != os.getuid():
            raise PermissionError(f"{root} belongs to another user")
    except OSError as error:
        raise StoreError(
            f"local copies cannot be made: {error}. Set VOICE_LOCAL_DIR to a folder that this user may write"
        ) from None
    return root


def open_scratch(local_dir: str, local_gb: float) -> Scratch:
    """Create the scratch folder, and remove abandoned reservations. Raises `StoreError`.

    The budget is the free space of its disk, where that is less than `local_gb`.
    """
    scratch = find_scratch(local_dir, local_gb, create=True)
    left = scratch.remove_abandoned()
    if left.count:
        _log.info("removed %s that killed processes left in %s", format_gigabytes(left.size_bytes), scratch.root)
    free = shutil.disk_usage(scratch.root).free + _folder_bytes(scratch.root)
    if free >= scratch.budget_bytes:
        return scratch
    limit = f"only {format_gigabytes(free)} are free on the disk of {scratch.root} (VOICE_LOCAL_DIR sets the folder)"
    _log.warning("VOICE_LOCAL_GB allows %g GB, but %s: that is used as the budget", local_gb, limit)
    return Scratch(scratch.root, free, limit)


def format_gigabytes(size: int) -> str:
    """
    >>> format_gigabytes(2_500_000_000), format_gigabytes(1_234_567)
    ('2.500 GB', '0.0012 GB')
    """
    return f"{size / 1e9:.3f} GB" if size >= 1e8 else f"{size / 1e9:.2g} GB"


def _default_root() -> Path:
    return Path(tempfile.gettempdir(), f"voice-data-factory-{os.getuid()}")


def _folder_bytes(folder: Path) -> int:
    total = 0
    for place, _, names in os.walk(folder):  # ignores folders that are removed meanwhile
        for name in names:
            with contextlib.suppress(FileNotFoundError):
                total += os.lstat(os.path.join(place, name)).st_size
    return total


def _parse_reserved_bytes(data: bytes) -> int:
    """The number of bytes in the lock file of a reservation; 0 while the file is being written.

    >>> _parse_reserved_bytes(b"1000"), _parse_reserved_bytes(b""), _parse_reserved_bytes(b"?")
    (1000, 0, 0)
    """
    return int(data) if data.isdigit() else 0


_reservations: set[_Reservation] = set()  # of this process


def remove_own_reservations() -> None:
    """Remove the reservations of this process, which is about to end."""
    for reservation in [*_reservations]:
        reservation.clear()


on_termination(remove_own_reservations)


def _release(reservation: _Reservation) -> None:
    reservation.clear()
    os.close(reservation.descriptor)
    _reservations.discard(reservation)
