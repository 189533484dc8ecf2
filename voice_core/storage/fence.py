"""Fences: a check before each write that the writer still holds its lock (`distributed_lock.hold_lock`).

A process that was stopped (SIGSTOP, a suspended machine, a network outage) does not notice it. If another process took
its lock over meanwhile, its next write must not happen. Two rules ensure that:

- Before a write, the lock must be known to be held: renewed less than `safe_sec` ago. Otherwise it is renewed, or read
  again, first.
- A put to a remote store is conditional: the object does not exist, or is still the one that was read while the lock
  was held. So the store refuses a put that was in progress when the process was stopped.

A fence is pickled with its store and works in worker processes of the same machine. They also stop writing when the
process that holds the lock has ended.
"""

import json
import logging
import os
import threading
import time
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from voice_core.compute.process_id import Process
from voice_core.storage.errors import ConflictError, ObjectNotFoundError, StoreError
from voice_core.storage.object_info import ObjectInfo

if TYPE_CHECKING:
    from voice_core.storage.store import Store

_log = logging.getLogger(__name__)
# Also counts while the machine is suspended, which CLOCK_MONOTONIC does not on Linux. The same in all its processes.
_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
_PUT_TRIES = 10


class LockLostError(RuntimeError):
    """Another process took the lock over. Nothing was written since."""


def now_sec() -> float:
    """The time of the clock by which locks expire, seconds."""
    return time.clock_gettime(_CLOCK)


def parse_claim(data: bytes | None) -> dict[str, Any]:
    """The content of a lock's object as a dictionary; empty if it is missing or not a JSON object."""
    try:
        value = json.loads(data or b"{}")
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


class Fence:
    """The fence of a lock on `name`, shared by a process and its workers.

    This is the one of a local store, whose lock is a file lock: it is lost only when its holder ends.
    """

    def __init__(self, name: str, outer: "Fence | None") -> None:
        self.name = name
        self.holder = Process.current()
        self._outer = outer  # the fence of a lock that was held when this one was acquired
        self._ended = False

    def check(self) -> None:
        """Called before each write. Raises `LockLostError` if the lock is no longer held."""
        if self._outer is not None:
            self._outer.check()
        if self._ended:
            raise LockLostError(f"the lock on {self.name} was released before this write")
        if self.holder.pid != os.getpid() and self.holder.is_dead:
            raise LockLostError(
                f"{self.holder}, which held the lock on {self.name}, has ended; nothing was written since"
            )

    def verify(self) -> None:
        """As `check`, and reads the lock from the store."""
        self.check()

    def put(self, store: "Store", key: str, data: Any, *, check_existing: bool = False) -> ObjectInfo:
        """Put an object to a remote store, unless another process wrote it after taking the lock over.

        With `check_existing` the object is looked up before the first try: for data that is too large to send twice.
        """
        seen: ObjectInfo | None = None
        if check_existing:
            seen = store.head(key)
            self.verify()
        for _ in range(_PUT_TRIES):
            try:
                return store.put(key, data, if_absent=seen is None, if_unchanged=seen)
            except (ConflictError, ObjectNotFoundError):
                # In this order: if the lock is held after the lookup, no other process has written the object.
                seen = store.head(key)
                self.verify()
        raise StoreError(
            f"put {store.url}/{key}: other processes replaced the object during each of {_PUT_TRIES} tries"
        )

    def end(self) -> None:
        """Refuse all further writes of this process."""
        self._ended = True


class ObjectFence(Fence):
    """The fence of a remote store, whose lock is an object that its holder renews."""

    def __init__(
        self, store: "Store", key: str, name: str, token: str, safe_sec: float, outer: Fence | None = None
    ) -> None:
        super().__init__(name, outer)
        self._store, self._key, self._token, self._safe_sec = store, key, token, safe_sec
        self._renewals = 0
        self._renewed_at = now_sec()
        self._info: ObjectInfo | None = None
        self._lost = ""
        self._lock = threading.Lock()

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_lock": None, "_info": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, _lock=threading.Lock())

    @property
    def is_fresh(self) -> bool:
        """Whether the lock was renewed so recently that no other process can have taken it over."""
        return now_sec() - self._renewed_at < self._safe_sec

    def next_claim(self) -> bytes:
        """The next content of the lock's object. No two are equal."""
        self._renewals += 1
        value = {**asdict(self.holder), "claim": self._token, "renewed": self._renewals, "at": now_sec()}
        return json.dumps(value).encode()

    def owns(self, data: bytes | None) -> bool:
        return parse_claim(data).get("claim") == self._token

    def record_renewal(self, info: ObjectInfo, data: bytes) -> None:
        """Note that the lock's object has this content, which `next_claim` returned."""
        self._info, self._renewed_at = info, float(parse_claim(data)["at"])

    def check(self) -> None:
        super().check()
        if self._lost:
            raise LockLostError(self._lost)
        if self.is_fresh:
            return
        with self._lock:
            if not self.is_fresh:
                self._read_claim()
            if not self.is_fresh:
                self._renew()

    def verify(self) -> None:
        self.check()
        if self._outer is not None:
            self._outer.verify()
        with self._lock:
            self._read_claim()

    def renew(self) -> None:
        """Write the lock's object again, so that other processes see that its holder is running."""
        with self._lock:
            self._renew()

    def _renew(self) -> None:
        while True:
            try:
                info = self._info or self._read_claim()
                data = self.next_claim()
                return self.record_renewal(self._store.put(self._key, data, if_unchanged=info), data)
            except (ConflictError, ObjectNotFoundError):  # a worker renewed it, or another process took it over
                self._info = None

    def _read_claim(self) -> ObjectInfo:
        """Read the lock's object. Raises `LockLostError` if another process holds the lock."""
        info, data = self._store.head(self._key), self._store.find(self._key)
        claim = parse_claim(data)
        if info is None or not self.owns(data):
            self._lost = _lost_message(self.name, Process.parse(claim))
            raise LockLostError(self._lost)
        self._info = info
        self._renewals = max(self._renewals, int(claim["renewed"]))
        self._renewed_at = max(self._renewed_at, float(claim["at"]))
        return info


def _lost_message(name: str, new_holder: Process | None) -> str:
    recipient = f"to {new_holder}" if new_holder is not None else "to a process that has ended since"
    return f"this process lost the lock on {name} {recipient}; nothing was written since; run the same command again"
