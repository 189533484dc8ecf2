"""One build at a time: a lock on a name under a work root, which a dead process loses.

On a local store it is a file lock, which the kernel releases when its holder ends. On a remote store it is an object
that its holder renews; another process takes the lock over when the object is not renewed, or when the holder is known
to be dead. Clocks of different machines are never compared: a waiting process checks whether the object changes while
it watches.

`hold_lock` yields the store to write to: its fence (`voice_core.storage.fence`) stops a holder that lost the lock.

No library does this: filelock knows local files only and removes no lock file (`voice_core.compute.file_locks`), and
lock services (etcd, Redis, DynamoDB) would be a second server beside the bucket.
"""

import contextlib
import json
import logging
import threading
import time
import uuid
from collections.abc import Iterator
from dataclasses import asdict, replace

from voice_core.compute.file_locks import LockWaiter, same_file, try_lock
from voice_core.compute.process_id import Process
from voice_core.layout import LOCKS, lock_key
from voice_core.storage.fence import Fence, LockLostError, ObjectFence, parse_claim
from voice_core.storage.store import ConflictError, ObjectInfo, ObjectNotFoundError, Store, StoreError

__all__ = ["LockLostError", "LockTimeoutError", "hold_lock", "remove_dead_locks"]

RENEW_INTERVAL_SEC = 10.0
# A holder that renewed the lock longer ago reads it again before it writes. The difference to EXPIRY_SEC is for a write
# that is in progress.
VALID_AFTER_RENEWAL_SEC = 30.0
EXPIRY_SEC = 45.0
WAIT_SEC = 3600.0
_POLL_SEC = 0.5
_MAX_REQUESTS = 4
_LOG_INTERVAL_SEC = 30.0
_log = logging.getLogger(__name__)


class LockTimeoutError(RuntimeError):
    """Another process held the lock for longer than the timeout."""


@contextlib.contextmanager
def hold_lock(store: Store, name: str, *, timeout_sec: float = WAIT_SEC) -> Iterator[Store]:
    """Lock `name` under the store. Waits while another process holds it; raises `LockTimeoutError` after `timeout_sec`.

    Yields the store to write to while the lock is held, here and in worker processes. It raises `LockLostError` instead
    of writing if another process took the lock over, which happens when this process was stopped for long. A process
    must not lock a name that it already holds.
    """
    hold = _hold_file_lock if store.local_root is not None else _hold_object_lock
    with hold(store, name, _Waiter(name, timeout_sec)) as fence:
        try:
            yield store.with_fence(fence)
        finally:
            fence.end()


class _Waiter:
    """Waits for the holder of a lock, and names it in the log and in the error."""

    def __init__(self, name: str, timeout_sec: float) -> None:
        self._name = name
        self._waiter = LockWaiter(_log, _POLL_SEC, _LOG_INTERVAL_SEC, timeout_sec)

    def wait(self, holder: str) -> None:
        state = f"{self._name} is locked by {holder or 'another process'}"
        if not self._waiter.wait(lambda: f"{state}; waiting for it"):
            raise LockTimeoutError(f"{state}; wait for it to end, or end it, and run the command again")


def _describe_holder(data: bytes) -> str:
    holder = Process.parse(parse_claim(data))
    return str(holder) if holder else ""


def _is_holder_dead(data: bytes) -> bool:
    """Whether the holder is a process of this machine that has ended."""
    holder = Process.parse(parse_claim(data))
    return holder is not None and holder.is_dead


@contextlib.contextmanager
def _hold_file_lock(store: Store, name: str, waiter: _Waiter) -> Iterator[Fence]:
    assert store.local_root is not None
    path = store.local_root / lock_key(name)
    while True:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            file = path.open("a+b")
        except FileNotFoundError:  # the holder of the last lock in the folder removed the folder
            continue
        with file:
            if not try_lock(file.fileno()):
                file.seek(0)
                waiter.wait(_describe_holder(file.read()))
                continue
            if not same_file(path, file.fileno()):
                continue  # its last holder removed it after it was opened here
            file.truncate(0)
            file.write(json.dumps(asdict(Process.current())).encode())
            file.flush()
            try:
                yield Fence(name, store.fence)
            finally:
                path.unlink(missing_ok=True)
                with contextlib.suppress(OSError):
                    path.parent.rmdir()
            return


@contextlib.contextmanager
def _hold_object_lock(store: Store, name: str, waiter: _Waiter) -> Iterator[Fence]:
    lock_store = _lock_store(store)
    fence = ObjectFence(lock_store, lock_key(name), name, uuid.uuid4().hex, VALID_AFTER_RENEWAL_SEC, store.fence)
    _acquire_object(lock_store, lock_key(name), fence, waiter)
    renewal = _Renewal(fence)
    renewal.start()
    try:
        yield fence
    finally:
        renewal.end()
        _release(lock_store, lock_key(name), fence)


def _lock_store(store: Store) -> Store:
    """The store to read and write locks with: its requests do not queue behind those of the build."""
    return store.with_fence(None, replace(store.access, in_flight=_MAX_REQUESTS))


def _acquire_object(store: Store, key: str, fence: ObjectFence, waiter: _Waiter) -> None:
    seen: ObjectInfo | None = None
    since = time.monotonic()
    holder = b""
    while True:
        there = store.head(key)
        data = fence.next_claim()
        try:
            if there is None:
                return fence.record_renewal(store.put(key, data, if_absent=True), data)
            if there != seen:
                seen, since = there, time.monotonic()
            holder = store.find(key) or b""
            if fence.owns(holder):
                return fence.record_renewal(there, holder)  # the response to the put of this process was lost
            if _is_holder_dead(holder) or time.monotonic() - since > EXPIRY_SEC:
                return fence.record_renewal(store.put(key, data, if_unchanged=there), data)
        except (ConflictError, ObjectNotFoundError):
            _log.debug("another process acquired or released %s first", key)
        waiter.wait(_describe_holder(holder))


def _release(store: Store, key: str, fence: ObjectFence) -> None:
    """Delete the lock's object if this process still holds it.

    It is renewed first: no process takes it over within `VALID_AFTER_RENEWAL_SEC` after that.
    """
    try:
        fence.renew()
        if fence.is_fresh:
            store.delete([key])
    except LockLostError as error:  # lost after the last write, which would have raised this
        _log.debug("%s", error)
    except StoreError as error:
        _log.warning("the lock %s could not be released, and expires in %g s: %s", key, EXPIRY_SEC, error)


class _Renewal(threading.Thread):
    """Renews the lock every `RENEW_INTERVAL_SEC` seconds."""

    def __init__(self, fence: ObjectFence) -> None:
        super().__init__(name="lock-renewal", daemon=True)
        self._fence = fence
        self._ended = threading.Event()

    def run(self) -> None:
        while not self._ended.wait(RENEW_INTERVAL_SEC):
            try:
                self._fence.renew()
            except LockLostError as error:
                _log.error("%s", error)
                return
            except StoreError as error:
                _log.warning("the lock could not be renewed: %s", error)

    def end(self) -> None:
        self._ended.set()
        self.join()


def remove_dead_locks(store: Store) -> None:
    """Remove the locks of dead processes on names that may never be locked again."""
    lock_store = _lock_store(store)
    for item in list(store.listing(LOCKS)):
        if store.local_root is None:
            there, data = lock_store.head(item.key), lock_store.find(item.key)
            if there is not None and data is not None and _is_holder_dead(data):
                fence = ObjectFence(lock_store, item.key, item.key, uuid.uuid4().hex, VALID_AFTER_RENEWAL_SEC)
                data = fence.next_claim()
                with contextlib.suppress(ConflictError, ObjectNotFoundError):  # another process took it over
                    fence.record_renewal(lock_store.put(item.key, data, if_unchanged=there), data)
                    _release(lock_store, item.key, fence)
            continue
        path = store.local_root / item.key
        with contextlib.suppress(FileNotFoundError), path.open("rb") as file:
            if try_lock(file.fileno()) and same_file(path, file.fileno()):
                path.unlink()
