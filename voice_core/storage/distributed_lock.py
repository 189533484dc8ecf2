"""One build at a time: a claim on a name under a work root, which a dead process loses.

On a local store the claim is a file lock, which the kernel takes back whatever becomes of its holder. On a remote one
it is an object that its holder renews; a claim that is not renewed, or whose process is known to be dead, is taken
over. No clocks of two machines are compared: what counts is whether the object changed while it was watched.

`held` gives the store to write to: its fence (`voice_core.storage.fence`) stops a holder whose claim was taken over.
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
from voice_core.storage.fence import Fence, LostClaimError, ObjectFence, claim_of
from voice_core.storage.store import ConflictError, ObjectInfo, ObjectNotFoundError, Store, StoreError

__all__ = ["HeldError", "LostClaimError", "held", "sweep"]

RENEWED_EVERY_SEC = 10.0
SAFE_SEC = 30.0  # after a renewal; then a holder asks before it writes. The rest is for a write that is under way.
ABANDONED_AFTER_SEC = 45.0
WAIT_SEC = 3600.0
_POLL_SEC = 0.5
_IN_FLIGHT = 4
_SAID_EVERY_SEC = 30.0
_log = logging.getLogger(__name__)


class HeldError(RuntimeError):
    """Somebody else works on it, and went on for longer than we wait."""


@contextlib.contextmanager
def held(store: Store, name: str, *, wait_sec: float = WAIT_SEC) -> Iterator[Store]:
    """Hold `name` under the store; wait while another process does. Raises `HeldError` after `wait_sec`.

    Gives the store through which to write meanwhile, here and in worker processes: it raises `LostClaimError` instead
    of writing where the claim was taken over, as it is when this process was stopped for long. A process may not claim
    a name that it holds already.
    """
    claim = _held_file if store.local_root is not None else _held_object
    with claim(store, name, _Patience(name, wait_sec)) as fence:
        try:
            yield store.fenced(fence)
        finally:
            fence.end()


class _Patience:
    """Waits, and says for whom."""

    def __init__(self, name: str, wait_sec: float) -> None:
        self._name = name
        self._until = time.monotonic() + wait_sec
        self._said = 0.0

    def wait(self, holder: str) -> None:
        now = time.monotonic()
        who = f"{self._name} is being worked on by {holder or 'another process'}"
        if now > self._until:
            raise HeldError(f"{who}; wait for it to end, or end it, and run this again")
        if now - self._said > _SAID_EVERY_SEC:
            _log.info("%s; waiting for it", who)
            self._said = now
        time.sleep(_POLL_SEC)


def _describe(data: bytes) -> str:
    holder = Process.parse(claim_of(data))
    return str(holder) if holder else ""


def _is_dead(data: bytes) -> bool:
    """Whether the holder is a process of this machine that has ended."""
    holder = Process.parse(claim_of(data))
    return holder is not None and holder.is_dead


@contextlib.contextmanager
def _held_file(store: Store, name: str, patience: _Patience) -> Iterator[Fence]:
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
                patience.wait(_describe(file.read()))
                continue
            if not same_file(path, file.fileno()):
                continue  # its last holder removed it after we had opened it
            file.truncate(0)
            file.write(json.dumps(asdict(Process.me())).encode())
            file.flush()
            try:
                yield Fence(name, store.fence)
            finally:
                path.unlink(missing_ok=True)
                with contextlib.suppress(OSError):
                    path.parent.rmdir()
            return


@contextlib.contextmanager
def _held_object(store: Store, name: str, patience: _Patience) -> Iterator[Fence]:
    claims = _claims(store)
    fence = ObjectFence(claims, lock_key(name), name, uuid.uuid4().hex, SAFE_SEC, store.fence)
    _claim(claims, lock_key(name), fence, patience)
    renewal = _Renewal(fence)
    renewal.start()
    try:
        yield fence
    finally:
        renewal.end()
        _release(claims, lock_key(name), fence)


def _claims(store: Store) -> Store:
    """The store by which claims are read and written: its requests do not queue behind those of the build."""
    return store.fenced(None, replace(store.access, in_flight=_IN_FLIGHT))


def _claim(store: Store, key: str, fence: ObjectFence, patience: _Patience) -> None:
    seen: ObjectInfo | None = None
    since = time.monotonic()
    holder = b""
    while True:
        there = store.head(key)
        data = fence.claim()
        try:
            if there is None:
                return fence.accept(store.put(key, data, if_absent=True), data)
            if there != seen:
                seen, since = there, time.monotonic()
            holder = store.find(key) or b""
            if fence.is_ours(holder):
                return fence.accept(there, holder)  # the answer to our put was lost on its way
            if _is_dead(holder) or time.monotonic() - since > ABANDONED_AFTER_SEC:
                return fence.accept(store.put(key, data, if_unchanged=there), data)
        except (ConflictError, ObjectNotFoundError):
            _log.debug("another process claimed or released %s first", key)
        patience.wait(_describe(holder))


def _release(store: Store, key: str, fence: ObjectFence) -> None:
    """Delete the claim, if it is still ours. It is renewed first: within `SAFE_SEC` nobody takes it over."""
    try:
        fence.renew()
        if fence.is_fresh:
            store.delete([key])
    except LostClaimError as error:  # after the last write; otherwise that has raised it
        _log.debug("%s", error)
    except StoreError as error:
        _log.warning("the claim %s could not be released, and is free in %g s: %s", key, ABANDONED_AFTER_SEC, error)


class _Renewal(threading.Thread):
    """Renews the claim again and again."""

    def __init__(self, fence: ObjectFence) -> None:
        super().__init__(name="lease", daemon=True)
        self._fence = fence
        self._ended = threading.Event()

    def run(self) -> None:
        while not self._ended.wait(RENEWED_EVERY_SEC):
            try:
                self._fence.renew()
            except LostClaimError as error:
                _log.error("%s", error)
                return
            except StoreError as error:
                _log.warning("the claim could not be renewed: %s", error)

    def end(self) -> None:
        self._ended.set()
        self.join()


def sweep(store: Store) -> None:
    """Remove the claims of processes that are dead, which nobody may ever claim again."""
    claims = _claims(store)
    for item in list(store.listing(LOCKS)):
        if store.local_root is None:
            there, data = claims.head(item.key), claims.find(item.key)
            if there is not None and data is not None and _is_dead(data):
                fence = ObjectFence(claims, item.key, item.key, uuid.uuid4().hex, SAFE_SEC)
                ours = fence.claim()
                with contextlib.suppress(ConflictError, ObjectNotFoundError):  # another process takes it over
                    fence.accept(claims.put(item.key, ours, if_unchanged=there), ours)
                    _release(claims, item.key, fence)
            continue
        path = store.local_root / item.key
        with contextlib.suppress(FileNotFoundError), path.open("rb") as file:
            if try_lock(file.fileno()) and same_file(path, file.fileno()):
                path.unlink()
