"""Local copies of remote objects: one folder a machine, one budget for it, and nothing left behind.

Every copy lies in a room of its own, a folder whose lock file the owning process holds. The system drops the lock
when that process ends, however it ends, so a room whose lock is free belongs to nobody and is swept away by whoever
opens the scratch folder next. The lock file says how many bytes the room may take: the sum over all held ones is
what the budget limits, over all processes of the machine that share the folder.
"""

import contextlib
import fcntl
import logging
import os
import secrets
import shutil
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from voice_core.compute.file_locks import try_lock
from voice_core.compute.worker_signals import on_termination
from voice_core.settings import Settings
from voice_core.storage.store import StoreError

_log = logging.getLogger(__name__)

_LEDGER_FILE, _LOCK_SUFFIX = "ledger.lock", ".room"
_WAIT_SEC = 0.05


class ScratchLimitError(StoreError):
    """A copy needs more local disk than it may ever take. The message names the sizes and the setting."""


@dataclass(frozen=True, slots=True)
class AbandonedFiles:
    """What processes that were killed had left."""

    count: int
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Scratch:
    """A folder for local copies, and how many bytes may lie in it. Can be sent to other processes.

    `limit` says in words what sets the budget.
    """

    root: Path
    budget_bytes: int
    limit: str

    def fits(self, size: int) -> bool:
        """Whether a copy of this size can be made at all, if need be once everything else is gone."""
        return size <= self.budget_bytes

    @contextlib.contextmanager
    def reserve(self, size: int, what: str) -> Iterator[Path]:
        """An empty folder for up to `size` bytes, which is gone afterwards. `what` is for the message.

        Waits while the rooms of this and other processes leave too little of the budget. Raises `ScratchLimitError` for
        more than the whole budget.
        """
        if not self.fits(size):
            raise ScratchLimitError(f"{what} needs {format_gigabytes(size)} of local disk; {self.limit}")
        room = self._reserve(size)
        try:
            _reservations.add(room)
            yield room.folder
        finally:
            _release(room)

    def remove_abandoned(self) -> AbandonedFiles:
        """Remove the rooms that no living process holds."""
        return self._abandoned(remove=True)

    def find_abandoned(self) -> AbandonedFiles:
        """What `remove_abandoned` would remove. Nothing is written."""
        return self._abandoned(remove=False)

    def _abandoned(self, *, remove: bool) -> AbandonedFiles:
        sizes = []
        if not self.root.is_dir():
            return AbandonedFiles(0, 0)
        with self._ledger() if remove else contextlib.nullcontext():
            for lock in self.root.glob(f"*{_LOCK_SUFFIX}"):
                with contextlib.suppress(FileNotFoundError), lock.open("rb") as file:
                    if not try_lock(file.fileno()):
                        continue
                    sizes.append(_folder_bytes(lock.with_suffix("")))
                    if remove:
                        shutil.rmtree(lock.with_suffix(""), ignore_errors=True)
                        lock.unlink(missing_ok=True)
        return AbandonedFiles(len(sizes), sum(sizes))

    def reserved_bytes(self) -> int:
        """What the rooms of living processes may take."""
        total = 0
        for lock in self.root.glob(f"*{_LOCK_SUFFIX}"):
            with contextlib.suppress(FileNotFoundError), lock.open("rb") as file:
                if not try_lock(file.fileno()):
                    total += _parse_reserved_bytes(file.read())
        return total

    def _reserve(self, size: int) -> "_Reservation":
        while True:
            with self._ledger():
                if not size or self.reserved_bytes() + size <= self.budget_bytes:
                    return _Reservation.make(self.root, size)
            time.sleep(_WAIT_SEC)

    @contextlib.contextmanager
    def _ledger(self) -> Iterator[None]:
        """Alone among all processes: rooms are counted, claimed and swept one after another."""
        with (self.root / _LEDGER_FILE).open("ab") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield


@dataclass(frozen=True, slots=True)
class _Reservation:
    folder: Path
    lock: int  # file descriptor

    @classmethod
    def make(cls, root: Path, size: int) -> "_Reservation":
        folder = root / f"{os.getpid()}-{secrets.token_hex(6)}"
        lock = os.open(folder.with_suffix(_LOCK_SUFFIX), os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
        fcntl.flock(lock, fcntl.LOCK_EX)
        os.write(lock, str(size).encode())
        folder.mkdir()
        return cls(folder, lock)

    def clear(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.with_suffix(_LOCK_SUFFIX).unlink(missing_ok=True)


def find_scratch(settings: Settings, *, create: bool = False) -> Scratch:
    """The scratch folder of `local_dir`, as it is, with the budget of `local_gb`. Raises `StoreError`.

    Without `create` nothing is written, and the folder may be missing.
    """
    root = scratch_root(settings.local_dir, create=create)
    return Scratch(root, round(settings.local_gb * 1e9), f"VOICE_LOCAL_GB allows {settings.local_gb:g}")


def scratch_root(local_dir: str, *, create: bool = True) -> Path:
    """The folder of this setting; one in the system's temporary folder when empty. Raises `StoreError`."""
    root = Path(local_dir).expanduser() if local_dir else _default_root()
    try:
        if create:
            root.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not local_dir and root.exists() and root.lstat().st_uid != os.getuid():
            raise PermissionError(f"{root} belongs to somebody else")
    except OSError as error:
        raise StoreError(f"no local copies can be made: {error}. VOICE_LOCAL_DIR names the folder for them") from None
    return root


def open_scratch(settings: Settings) -> Scratch:
    """The scratch folder, swept; its budget is what its disk has free, where that is less than `local_gb`."""
    scratch = find_scratch(settings, create=True)
    left = scratch.remove_abandoned()
    if left.count:
        _log.info("removed %s that killed processes had left in %s", format_gigabytes(left.size_bytes), scratch.root)
    free = shutil.disk_usage(scratch.root).free + _folder_bytes(scratch.root)
    if free >= scratch.budget_bytes:
        return scratch
    limit = f"only {format_gigabytes(free)} are free where {scratch.root} lies (VOICE_LOCAL_DIR names another place)"
    _log.warning("VOICE_LOCAL_GB allows %g GB, but %s: working within that", settings.local_gb, limit)
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
    for place, _, names in os.walk(folder):  # which takes no notice of folders that vanish meanwhile
        for name in names:
            with contextlib.suppress(FileNotFoundError):
                total += os.lstat(os.path.join(place, name)).st_size
    return total


def _parse_reserved_bytes(data: bytes) -> int:
    """What the lock file of a room says. One that says nothing is just being made.

    >>> _parse_reserved_bytes(b"1000"), _parse_reserved_bytes(b""), _parse_reserved_bytes(b"?")
    (1000, 0, 0)
    """
    return int(data) if data.isdigit() else 0


_reservations: set[_Reservation] = set()  # of this process


def remove_own_reservations() -> None:
    """Remove the rooms of this process, which is about to end."""
    for room in [*_reservations]:
        room.clear()


on_termination(remove_own_reservations)


def _release(room: _Reservation) -> None:
    room.clear()
    os.close(room.lock)
    _reservations.discard(room)
