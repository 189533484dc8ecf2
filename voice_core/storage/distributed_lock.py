"""One build at a time: a claim on a name under a work root, which a dead process loses.

On a local store the claim is a file lock, which the kernel takes back whatever becomes of its holder. On a remote one
it is an object that its holder renews; a claim that is not renewed, or whose process is known to be dead, is taken
over. No clocks of two machines are compared: what counts is whether the object changed while it was watched.

`hold_lock` gives the store to write to: its fence (`voice_core.storage.fence`) stops a holder whose claim was taken
over.
"""

import contextlib
import json
import logging
import threading
import time
import uuid
from collections.abc import Iterator
from dataclasses import asdict, replace

from voice_core.compute.file_locks import same_file, try_lock
from voice_core.compute.process_id import Process
from voice_core.layout import LOCKS, lock_key
from voice_core.storage.fence import Fence, LockLostError, ObjectFence, parse_claim
from voice_core.storage.store import ConflictError, ObjectInfo, ObjectNotFoundError, Store, StoreError

__all__ = ["LockLostError", "LockTimeoutError", "hold_lock", "remove_dead_locks"]

RENEW_INTERVAL_SEC = 10.0
VALID_AFTER_RENEWAL_SEC = (
    30.0  # after a renewal; then a holder asks before it writes. The rest is for a write that is under way.
)
EXPIRY_SEC = 45.0
WAIT_SEC = 3600.0
_POLL_SEC = 0.5
_MAX_REQUESTS = 4
_LOG_INTERVAL_SEC = 30.0
_log = logging.getLogger(__name__)


class LockTimeoutError(RuntimeError):
    """Somebody else works on it, and went on for longer than we wait."""


@contextlib.contextmanager
def hold_lock(store: Store, name: str, *, timeout_sec: float = WAIT_SEC) -> Iterator[Store]:
    """Hold `name` under the store; wait while another process does. Raises `LockTimeoutError` after `timeout_sec`.

    Gives the store through which to write meanwhile, here and in worker processes: it raises `LockLostError` instead
    of writing where the claim was taken over, as it is when this process was stopped for long. A process may not claim
    a name that it holds already.
    """
    claim = _hold_file_lock if store.local_root is not None else _hold_object_lock
    with claim(store, name, _Waiter(name, timeout_sec)) as fence:
        try:
            yield store.with_fence(fence)
        finally:
            fence.end()


class _Waiter:
    """Waits, and says for whom."""

    def __init__(self, name: str, timeout_sec: float) -> None:
        self._name = name
        self._until = time.monotonic() + timeout_sec
        self._logged_at = 0.0

    def wait(self, holder: str) -> None:
        now = time.monotonic()
        who = f"{self._name} is being worked on by {holder or 'another process'}"
        if now > self._until:
            raise LockTimeoutError(f"{who}; wait for it to end, or end it, and run this again")
        if now - self._logged_at > _LOG_INTERVAL_SEC:
            _log.info("%s; waiting for it", who)
            self._logged_at = now
        time.sleep(_POLL_SEC)


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
        except FileNotFoundError:  # the folder went away with the last lock in it
            continue
        with file:
            if not try_lock(file.fileno()):
                file.seek(0)
                waiter.wait(_describe_holder(file.read()))
                continue
            if not same_file(path, file.fileno()):
                continue  # its last holder removed it after we had opened it
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
    claims = _lock_store(store)
    fence = ObjectFence(claims, lock_key(name), name, uuid.uuid4().hex, VALID_AFTER_RENEWAL_SEC, store.fence)
    _acquire_object(claims, lock_key(name), fence, waiter)
    renewal = _Renewal(fence)
    renewal.start()
    try:
        yield fence
    finally:
        renewal.end()
        _release(claims, lock_key(name), fence)


def _lock_store(store: Store) -> Store:
    """The store by which claims are read and written: its requests do not queue behind those of the build."""
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
                return fence.record_renewal(there, holder)  # the answer to our put was lost on its way
            if _is_holder_dead(holder) or time.monotonic() - since > EXPIRY_SEC:
                return fence.record_renewal(store.put(key, data, if_unchanged=there), data)
        except (ConflictError, ObjectNotFoundError):
            _log.debug("another process claimed or released %s first", key)
        waiter.wait(_describe_holder(holder))


def _release(store: Store, key: str, fence: ObjectFence) -> None:
    """Delete the claim, if it is still ours. It is renewed first: within `VALID_AFTER_RENEWAL_SEC` nobody takes it
    over."""
    try:
        fence.renew()
        if fence.is_fresh:
            store.delete([key])
    except LockLostError as error:  # after the last write; otherwise that has raised it
        _log.debug("%s", error)
    except StoreError as error:
        _log.warning("the claim %s could not be released, and is free in %g s: %s", key, EXPIRY_SEC, error)


class _Renewal(threading.Thread):
    """Renews the claim again and again."""

    def __init__(self, fence: ObjectFence) -> None:
        super().__init__(name="lease", daemon=True)
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
                _log.warning("the claim could not be renewed: %s", error)

    def end(self) -> None:
        self._ended.set()
        self.join()


def remove_dead_locks(store: Store) -> None:
    """Remove the claims of processes that are dead, which nobody may ever claim again."""
    claims = _lock_store(store)
    for item in list(store.listing(LOCKS)):
        if store.local_root is None:
            there, data = claims.head(item.key), claims.find(item.key)
            if there is not None and data is not None and _is_holder_dead(data):
                fence = ObjectFence(claims, item.key, item.key, uuid.uuid4().hex, VALID_AFTER_RENEWAL_SEC)
                ours = fence.next_claim()
                with contextlib.suppress(ConflictError, ObjectNotFoundError):  # another process takes it over
                    fence.record_renewal(claims.put(item.key, ours, if_unchanged=there), ours)
                    _release(claims, item.key, fence)
            continue
        path = store.local_root / item.key
        with contextlib.suppress(FileNotFoundError), path.open("rb") as file:
            if try_lock(file.fileno()) and same_file(path, file.fileno()):
                path.unlink()
