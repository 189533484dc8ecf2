"""One process a GPU: a lock on each GPU of a host, which the kernel takes back whatever becomes of its holder.

Dagster's pools count steps, and a slot can come free while the step that had it is still on the GPU (a run worker that
was killed leaves its children). This lock is the one that holds: a file a GPU, locked with flock, in a folder that all
users of the host share. What stands in the file says who holds it; whether anybody does, the lock alone says.
"""

import contextlib
import fcntl
import getpass
import json
import logging
import os
import time
from collections.abc import Iterator, Sequence
from contextvars import ContextVar
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from urllib.parse import quote, unquote

from voice_core.compute.file_locks import same_file, try_lock
from voice_core.compute.process_id import Process

# Not the temporary folder of TMPDIR: users and batch systems set that, and two folders would be two locks.
DEFAULT_FOLDER = Path("/tmp/voice-gpu-locks")
POLL_SEC = 0.5
LOG_INTERVAL_SEC = 30.0
_log = logging.getLogger(__name__)
_held: ContextVar[tuple[str, ...]] = ContextVar("held", default=())
_run_id: ContextVar[str] = ContextVar("run_id", default="")


@dataclass(frozen=True, slots=True)
class GpuHolder:
    """Who holds a GPU, what for, in which Dagster run if any, and since when (local time, ISO 8601)."""

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
    """Hold the first of `gpus` that is free, and give its name; while none is, wait, and log who holds them.

    `folder` is that of the setting `gpu_lock_dir`; all processes of a host must name the same.
    A name must mean the same GPU in every process of the host, whatever CUDA_VISIBLE_DEVICES says: its UUID.
    Whoever holds one of them already (the same thread or task, further out) goes on with that one. Whoever holds
    another gets a RuntimeError: two that want each other's would wait for ever. Threads of one process exclude each
    other as processes do.
    """
    if not gpus:
        raise ValueError("there is no GPU to hold")
    held_here = _held.get()
    already_held = next((name for name in gpus if name in held_here), None)
    if already_held is not None:
        yield already_held
        return
    if held_here:
        raise RuntimeError(
            f"{purpose} holds {', '.join(held_here)} and asks for {', '.join(gpus)}: it would wait holding"
        )
    name, descriptor = _acquire(gpu_lock_folder(folder), gpus, purpose)
    token = _held.set((name,))
    try:
        yield name
    finally:
        _held.reset(token)
        os.ftruncate(descriptor, 0)
        fcntl.flock(descriptor, fcntl.LOCK_UN)  # closing is not enough where a forked child has the descriptor too
        os.close(descriptor)


@contextlib.contextmanager
def tag_run(run_id: str) -> Iterator[None]:
    """Name the Dagster run for which GPUs are held meanwhile."""
    token = _run_id.set(run_id)
    try:
        yield
    finally:
        _run_id.reset(token)


def gpu_lock_folder(named: str = "") -> Path:
    """The folder of the locks: that of the setting `gpu_lock_dir`, else one that is the same for all of the host."""
    return Path(named) if named else DEFAULT_FOLDER


def read_gpu_holders(folder: str = "") -> dict[str, GpuHolder | None]:
    """Every GPU of this host that was ever held, and who holds it now; None where it is free."""
    found: dict[str, GpuHolder | None] = {}
    for path in sorted(gpu_lock_folder(folder).glob("*.lock")):
        descriptor = os.open(path, os.O_RDONLY)
        try:
            holder = _read_holder(descriptor)
            # Unsigned, nobody holds it, or somebody is just about to, whom a trial would get in the way of.
            found[unquote(path.stem)] = holder if holder is not None and not try_lock(descriptor) else None
        finally:
            os.close(descriptor)
    return found


def _acquire(folder: Path, gpus: Sequence[str], purpose: str) -> tuple[str, int]:
    """Wait for a GPU; its name, and the descriptor whose lock holds it."""
    wait_started = logged_at = 0.0
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
            if wait_started:
                _log.info("%s goes on with GPU %s after %.0f s", purpose, name, time.monotonic() - wait_started)
            return name, descriptor
        now = time.monotonic()
        wait_started = wait_started or now
        if not logged_at or now - logged_at >= LOG_INTERVAL_SEC:
            waiting_for = "; ".join(f"{name} is held by {_describe_holder(folder, name)}" for name in gpus)
            _log.info("%s waits for a GPU: %s", purpose, waiting_for)
            logged_at = now
        time.sleep(POLL_SEC)


def _open_lock_file(path: Path) -> int:
    """The lock file, made where there is none, for all users to open.

    Without O_CREAT where it is there: in a folder with the sticky bit Linux lets nobody "create" another's file.
    """
    while True:
        with contextlib.suppress(FileNotFoundError):
            return os.open(path, os.O_RDWR | os.O_NOFOLLOW)
        if not path.parent.is_dir():
            path.parent.mkdir(parents=True, exist_ok=True)
            with contextlib.suppress(PermissionError):  # another user was faster, and it is his
                path.parent.chmod(0o1777)
        with contextlib.suppress(FileExistsError):
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o666)
            os.fchmod(descriptor, 0o666)  # whatever the umask
            return descriptor


def _write_holder(descriptor: int, purpose: str) -> None:
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a container's user has no name
        user = str(os.getuid())
    since = datetime.now().astimezone().isoformat(timespec="seconds")
    data = json.dumps(asdict(GpuHolder(Process.current(), user, purpose, _run_id.get(), since))).encode()
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, data, 0)


def _read_holder(descriptor: int) -> GpuHolder | None:
    """Who signed the file last, whether or not he holds it still."""
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
        return str(holder) if holder and not holder.process.is_dead else "a process that has not signed yet"
    finally:
        os.close(descriptor)
