"""Fences: a check before each write that the writer's claim on what it writes still holds (`lease.held`).

A process that was stopped (SIGSTOP, a suspended machine, a network that was down) does not notice it. If its claim was
taken over meanwhile, its next write must not happen. Two rules hold that:

- Before a write, the claim must be known to be good: renewed less than `safe_sec` ago. Otherwise it is renewed, or read
  again, first.
- A put on a remote store is conditional: there is no object yet, or it is still the one that was looked at while the
  claim was good. So the store refuses a put that was under way when the process was stopped.

A fence travels with the pickled store to worker processes of the same machine. These also stop when the process that
holds the claim has ended.
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

if TYPE_CHECKING:
    from voice_core.storage.store import ObjectInfo, Store

_log = logging.getLogger(__name__)
# Also counts while the machine is suspended, which CLOCK_MONOTONIC does not on Linux. The same in all its processes.
_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
_PUT_TRIES = 10


class LockLostError(RuntimeError):
    """The claim was taken over by another process. Nothing more was written."""


def now_sec() -> float:
    """The time of this machine's clock, by which claims expire."""
    return time.clock_gettime(_CLOCK)


def parse_claim(data: bytes | None) -> dict[str, Any]:
    """What a claim's object says; empty where there is none or it cannot be read."""
    try:
        value = json.loads(data or b"{}")
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


class Fence:
    """The claim of a process on `name`, which its workers share. This is the fence of a local store, whose claim is a
    file lock: only the end of its holder loses it."""

    def __init__(self, name: str, outer: "Fence | None") -> None:
        self.name = name
        self.holder = Process.current()
        self._outer = outer  # of a claim within which this one was made
        self._ended = False

    def check(self) -> None:
        """Called before each write. Raises `LockLostError` where the claim does not hold any more."""
        if self._outer is not None:
            self._outer.check()
        if self._ended:
            raise LockLostError(f"the claim on {self.name} was released before this write")
        if self.holder.pid != os.getpid() and self.holder.is_dead:
            raise LockLostError(f"{self.holder}, which held {self.name}, has ended; nothing more was written")

    def verify(self) -> None:
        """As `check`, and asks the store whether the claim is still there."""
        self.check()

    def put(self, store: "Store", key: str, data: Any, *, check_existing: bool = False) -> "ObjectInfo":
        """Put an object of a remote store, on the condition that nobody else has written it under a later claim.

        With `check_existing` an object that may be there is looked at before the first try: for data that is too large
        to be sent twice.
        """
        seen: ObjectInfo | None = None
        if check_existing:
            seen = store.head(key)
            self.verify()
        for _ in range(_PUT_TRIES):
            try:
                return store.put(key, data, if_absent=seen is None, if_unchanged=seen)
            except (ConflictError, ObjectNotFoundError):
                # In this order: if the claim is ours after the object was looked at, nobody else has written that.
                seen = store.head(key)
                self.verify()
        raise StoreError(f"put {store.url}/{key}: other processes write this object all the time")

    def end(self) -> None:
        """Let no more writes pass in this process."""
        self._ended = True


class ObjectFence(Fence):
    """The fence of a remote store, whose claim is an object that its holder renews."""

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
        """Whether nobody can have taken the claim over yet, as a holder that does not renew it has this long."""
        return now_sec() - self._renewed_at < self._safe_sec

    def next_claim(self) -> bytes:
        """The claim's next content. No two are equal."""
        self._renewals += 1
        value = {**asdict(self.holder), "claim": self._token, "renewed": self._renewals, "at": now_sec()}
        return json.dumps(value).encode()

    def owns(self, data: bytes | None) -> bool:
        return parse_claim(data).get("claim") == self._token

    def record_renewal(self, info: "ObjectInfo", data: bytes) -> None:
        """The claim's object has this content, which `next_claim` gave."""
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
        """Write the claim again, so that others see that its holder lives."""
        with self._lock:
            self._renew()

    def _renew(self) -> None:
        while True:
            try:
                info = self._info or self._read_claim()
                data = self.next_claim()
                return self.record_renewal(self._store.put(self._key, data, if_unchanged=info), data)
            except (ConflictError, ObjectNotFoundError):  # a worker has renewed it, or it was taken over
                self._info = None

    def _read_claim(self) -> "ObjectInfo":
        """Read the claim; what the store calls it, if it is still ours."""
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
    recipient = f"to {new_holder}" if new_holder is not None else "to a process that has finished since"
    return f"lost its claim on {name} {recipient}; nothing more was written; run the same command again"
