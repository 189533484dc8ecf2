"""One build at a time: a claim on a name under a work root, which a dead process loses.

On a local store the claim is a file lock, which the kernel takes back whatever becomes of its holder. On a remote one
it is an object that its holder renews; a claim that is not renewed, or whose process is known to be dead, is taken
over. No clocks are compared: what counts is whether the object changed while one watched it.
"""

import contextlib
import json
import logging
import threading
import time
import uuid
from collections.abc import Iterator
from dataclasses import asdict

from voice_core.file_locks import same_file, try_lock
from voice_core.layout import LOCKS, lock_key
from voice_core.processes import Process
from voice_core.store import ConflictError, ObjectInfo, Store, StoreError

RENEWED_EVERY_SEC = 10.0
ABANDONED_AFTER_SEC = 45.0
WAIT_SEC = 3600.0
_POLL_SEC = 0.5
_SAID_EVERY_SEC = 30.0
_log = logging.getLogger(__name__)


class HeldError(RuntimeError):
    """Somebody else works on it, and went on for longer than we wait."""


@contextlib.contextmanager
def held(store: Store, name: str, *, wait_sec: float = WAIT_SEC) -> Iterator[None]:
    """Hold `name` under the store; wait while another process does. Raises `HeldError` after `wait_sec`.

    A process may not claim a name that it holds already.
    """
    claim = _held_file if store.local_root is not None else _held_object
    with claim(store, name, _Patience(name, wait_sec)):
        yield


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


def _holder(data: bytes) -> Process | None:
    try:
        return Process.parse(json.loads(data))
    except (ValueError, TypeError):
        return None


def _describe(data: bytes) -> str:
    holder = _holder(data)
    return str(holder) if holder else ""


def _is_dead(data: bytes) -> bool:
    """Whether the holder is a process of this machine that is no more."""
    holder = _holder(data)
    return holder is not None and holder.is_dead


@contextlib.contextmanager
def _held_file(store: Store, name: str, patience: _Patience) -> Iterator[None]:
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
                yield
            finally:
                path.unlink(missing_ok=True)
                with contextlib.suppress(OSError):
                    path.parent.rmdir()
            return


@contextlib.contextmanager
def _held_object(store: Store, name: str, patience: _Patience) -> Iterator[None]:
    key = lock_key(name)
    claim = {**asdict(Process.me()), "claim": uuid.uuid4().hex, "renewed": 0}
    renewal = _Renewal(store, key, claim, _claim(store, key, claim, patience))
    renewal.start()
    try:
        yield
    finally:
        renewal.end()


def _claim(store: Store, key: str, claim: dict[str, str | int], patience: _Patience) -> ObjectInfo:
    data = json.dumps(claim).encode()
    seen: ObjectInfo | None = None
    since = time.monotonic()
    holder = b""
    while True:
        there = store.head(key)
        try:
            if there is None:
                return store.put(key, data, if_absent=True)
            if there != seen:
                seen, since = there, time.monotonic()
            holder = store.find(key) or b""
            if _claim_of(holder) == claim["claim"]:
                return there  # ours: the answer to our put was lost on its way
            if _is_dead(holder) or time.monotonic() - since > ABANDONED_AFTER_SEC:
                return store.put(key, data, if_unchanged=there)
        except ConflictError:
            _log.debug("somebody else was faster to claim %s", key)
        patience.wait(_describe(holder))


def _claim_of(data: bytes) -> str:
    try:
        return str(json.loads(data)["claim"])
    except (ValueError, KeyError, TypeError):
        return ""


class _Renewal(threading.Thread):
    """Writes the claim again and again, so that others see that its holder lives."""

    def __init__(self, store: Store, key: str, claim: dict[str, str | int], info: ObjectInfo) -> None:
        super().__init__(name="lease", daemon=True)
        self._store, self._key, self._claim, self._info = store, key, claim, info
        self._ended = threading.Event()

    def run(self) -> None:
        while not self._ended.wait(RENEWED_EVERY_SEC):
            self._claim["renewed"] = int(self._claim["renewed"]) + 1
            data = json.dumps(self._claim).encode()
            try:
                self._info = self._store.put(self._key, data, if_unchanged=self._info)
            except ConflictError:
                if _claim_of(self._store.find(self._key) or b"") != self._claim["claim"]:
                    _log.error("the claim %s was taken over: this process was taken for dead", self._key)
                    return
                self._info = self._store.head(self._key) or self._info
            except StoreError as error:
                _log.warning("the claim could not be renewed: %s", error)

    def end(self) -> None:
        self._ended.set()
        self.join()
        if _claim_of(self._store.find(self._key) or b"") == self._claim["claim"]:
            self._store.delete([self._key])


def sweep(store: Store) -> None:
    """Remove the claims of processes that are dead, which nobody may ever claim again."""
    for item in list(store.listing(LOCKS)):
        if store.local_root is None:
            if _is_dead(store.find(item.key) or b""):
                store.delete([item.key])
            continue
        path = store.local_root / item.key
        with contextlib.suppress(FileNotFoundError), path.open("rb") as file:
            if try_lock(file.fileno()) and same_file(path, file.fileno()):
                path.unlink()
