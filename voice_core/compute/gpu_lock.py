"""One process per GPU: a lock on each GPU of a host, which the kernel releases when its holder ends.

Dagster's pools count steps, and a slot can become free while its step is still on the GPU (a run worker that is killed
leaves its child processes). This lock guarantees that one process at a time uses a GPU: one file per GPU, locked with
flock, in a folder that all users of the host share. The content of the file names the holder; only the lock itself says
whether the GPU is held. (`file_locks` says why the library filelock does not serve here.)
"""

import contextlib
import getpass
import json
import logging
import os
from collections.abc import Iterator, Sequence
from contextvars import ContextVar
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from urllib.parse import quote, unquote

from voice_core.compute.file_locks import LockWaiter, same_file, try_lock, unlock
from voice_core.compute.process_id import Process

# Not TMPDIR, which users and batch systems set: two folders would be two locks.
DEFAULT_FOLDER = Path("/tmp/voice-gpu-locks")
POLL_SEC = 0.5
LOG_INTERVAL_SEC = 30.0
_log = logging.getLogger(__name__)
_held: ContextVar[tuple[str, ...]] = ContextVar("held", default=())
_run_id: ContextVar[str] = ContextVar("run_id", default="")


@dataclass(frozen=True, slots=True)
class GpuHolder:
    """The process that holds a GPU, its purpose, its Dagster run if any, and when it began (local time, ISO 8601)."""

    process: Process
    user: str
    purpose: str
    run_id: str
    since: str

    def __str__(self) -> str:
        run = f", run {self.run_id[:8]}" if self.run_id else ""
        return f"{self.purpose} ({self.process}, user {self.user}{run}) since {self.since}"


@contextlib.contextmanager
def hold_gpu(gpus: Sequence[str], purpose: str, folder: str = "") -> Iterator[str]:
    """Hold the first of `gpus` that is free, and yield its name. While none is free, wait, and log who holds them.

    `gpus` are names that mean the same GPU in every process of the host, whatever CUDA_VISIBLE_DEVICES is: UUIDs.
    `folder` is the setting `gpu_lock_dir`; all processes of a host must use the same. Threads of one process exclude
    each other as processes do.

    A thread or task that already holds one of `gpus` continues with that one. If it holds a GPU that is not among
    them, RuntimeError is raised: two that wait for each other's GPU would wait forever.
    """
    if not gpus:
        raise ValueError("gpus is empty: there is no GPU to hold")
    held_here = _held.get()
    already_held = next((name for name in gpus if name in held_here), None)
    if already_held is not None:
        yield already_held
        return
    if held_here:
        raise RuntimeError(
            f"{purpose} holds {', '.join(held_here)} and asks for {', '.join(gpus)}: waiting while holding a GPU could "
            "deadlock"
        )
    name, descriptor = _acquire(gpu_lock_folder(folder), gpus, purpose)
    token = _held.set((name,))
    try:
        yield name
    finally:
        _held.reset(token)
        os.ftruncate(descriptor, 0)
        unlock(descriptor)
        os.close(descriptor)


@contextlib.contextmanager
def tag_run(run_id: str) -> Iterator[None]:
    """Record this Dagster run as the one that GPUs are held for, within the block."""
    token = _run_id.set(run_id)
    try:
        yield
    finally:
        _run_id.reset(token)


def gpu_lock_folder(named: str = "") -> Path:
    """The folder of the locks: the setting `gpu_lock_dir`, or a default that is the same for all users of the host."""
    return Path(named) if named else DEFAULT_FOLDER


def read_gpu_holders(folder: str = "") -> dict[str, GpuHolder | None]:
    """Every GPU of this host that was ever held, and its current holder; None where it is free."""
    found: dict[str, GpuHolder | None] = {}
    for path in sorted(gpu_lock_folder(folder).glob("*.lock")):
        descriptor = os.open(path, os.O_RDONLY)
        try:
            holder = _read_holder(descriptor)
            # Without a record it is free or is being acquired; trying the lock would disturb the latter.
            found[unquote(path.stem)] = holder if holder is not None and not try_lock(descriptor) else None
        finally:
            os.close(descriptor)
    return found


def _acquire(folder: Path, gpus: Sequence[str], purpose: str) -> tuple[str, int]:
    """Wait for a GPU. Returns its name, and the descriptor whose lock holds it."""
    waiter = LockWaiter(_log, POLL_SEC, LOG_INTERVAL_SEC)

    def describe() -> str:
        holders = "; ".join(f"{name} is held by {_describe_holder(folder, name)}" for name in gpus)
        return f"{purpose} waits for a GPU: {holders}"

    while True:
        for name in gpus:
            descriptor = _open_lock_file(folder / f"{quote(name, safe='')}.lock")
            try:
                if not try_lock(descriptor) or not same_file(folder / f"{quote(name, safe='')}.lock", descriptor):
                    os.close(descriptor)
                    continue
                _write_holder(descriptor, purpose)
            except BaseException:
                os.close(descriptor)
                raise
            if waiter.has_waited:
                _log.info("%s continues with GPU %s after %.0f s", purpose, name, waiter.elapsed_sec)
            return name, descriptor
        waiter.wait(describe)


def _open_lock_file(path: Path) -> int:
    """Open the lock file; create it, for all users to open, if it does not exist.

    An existing file is opened without O_CREAT: in a sticky folder Linux refuses to "create" another user's file.
    """
    while True:
        with contextlib.suppress(FileNotFoundError):
            return os.open(path, os.O_RDWR | os.O_NOFOLLOW)
        if not path.parent.is_dir():
            path.parent.mkdir(parents=True, exist_ok=True)
            with contextlib.suppress(PermissionError):  # another user created it first
                path.parent.chmod(0o1777)
        with contextlib.suppress(FileExistsError):
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o666)
            os.fchmod(descriptor, 0o666)  # whatever the umask
            return descriptor


def _write_holder(descriptor: int, purpose: str) -> None:
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # the user of a container may have no name
        user = str(os.getuid())
    since = datetime.now().astimezone().isoformat(timespec="seconds")
    data = json.dumps(asdict(GpuHolder(Process.current(), user, purpose, _run_id.get(), since))).encode()
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, data, 0)


def _read_holder(descriptor: int) -> GpuHolder | None:
    """The last holder that the file names, whether or not it still holds the GPU."""
    try:
        value = json.loads(os.pread(descriptor, 65_536, 0))
        process = Process.parse(value["process"])
        names = ("user", "purpose", "run_id", "since")
        return GpuHolder(process, *(str(value[name]) for name in names)) if process else None
    except (ValueError, KeyError, TypeError):
        return None


def _describe_holder(folder: Path, name: str) -> str:
    descriptor = _open_lock_file(folder / f"{quote(name, safe='')}.lock")
    try:
        holder = _read_holder(descriptor)
        return str(holder) if holder and not holder.process.is_dead else "a process that is not known yet"
    finally:
        os.close(descriptor)
