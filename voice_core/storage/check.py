"""Check whether a store can be used: reach, list, read, write, read back, conditional puts, speed, delete.

Writes only if asked to, and then only below a prefix of its own, which is removed at the end.
"""

import contextlib
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit
from urllib.request import url2pathname

from voice_core.compute import progress
from voice_core.language import pluralize
from voice_core.storage.connectivity import check_connection
from voice_core.storage.errors import DENIED, Diagnosis, diagnose_error
from voice_core.storage.store import ConflictError, ObjectInfo, Store, StoreError

PREFIX = ".voice-check-"
_LISTED = 1000
_SMALL_OBJECTS, _SMALL_BYTES = 256, 16_384
_LARGE_BYTES = 32 << 20
_MAX_CLOCK_SEC = 900  # with a larger difference S3 rejects requests
_NOTABLE_CLOCK_SEC = 60
_RETRIES = 1  # so that a check reports errors soon
_WRITES_NOT_TESTED = "not tested; --write tests it"

State = Literal["ok", "failed", "skipped"]


@dataclass(frozen=True, slots=True)
class CheckStep:
    """`found` is the measurement, what is wrong, or why the step was skipped; `cure` is what to do about it."""

    name: str
    state: State
    found: str
    cure: str = ""


@dataclass(frozen=True, slots=True)
class StoreCheck:
    url: str
    steps: tuple[CheckStep, ...]

    @property
    def ok(self) -> bool:
        return all(step.state != "failed" for step in self.steps)


def check_store(
    url: str, open_store: Callable[[str], Store], *, write: bool, speed: bool = True, may_be_missing: bool = False
) -> StoreCheck:
    """Try every operation that a build uses. Errors are in the result; none is raised.

    With `may_be_missing`, a folder that does not exist yet is not a failure.
    """
    return StoreCheck(url, tuple(_StoreChecker(url, open_store, write, speed, may_be_missing).steps()))


class _FailedError(Exception):
    """The operations of a step succeeded, and their result is wrong."""

    def __init__(self, what: str, cure: str) -> None:
        super().__init__(what)
        self.what, self.cure = what, cure


@dataclass(slots=True)
class _StoreChecker:
    url: str
    open_store: Callable[[str], Store]
    write: bool
    speed: bool
    may_be_missing: bool
    prefix: str = field(default_factory=lambda: f"{PREFIX}{uuid.uuid4().hex[:12]}/")
    written: set[str] = field(default_factory=set)
    listed: list[ObjectInfo] = field(default_factory=list)
    made: list[Path] = field(default_factory=list)  # local folders that did not exist, the deepest first

    def steps(self) -> Iterator[CheckStep]:
        if self.may_be_missing and not self.write and self.url.startswith("file:") and not self._folder().exists():
            yield from _skipped("the folder does not exist yet; a build creates it", "open", *self._step_names())
            return
        try:
            store = self._open()
        except StoreError as error:
            yield self._failed("open", error)
            yield from _skipped("the store cannot be opened", *self._step_names())
            return
        region = ""
        if store.local_root is None and store.shareable:
            reached = check_connection(store.url, store.access)
            if (trouble := reached.diagnosis) is not None:
                yield CheckStep("reach", "failed", trouble.what, trouble.cure)
                yield from _skipped("the server cannot be reached", *self._step_names())
                return
            yield CheckStep("reach", "ok", f"{reached.address}, {reached.latency_ms:.0f} ms")
            yield _clock(reached.clock_offset_sec)
            region = reached.region
        listing = _with_region(self._try("list", lambda: self._list(store)), region)
        yield listing
        if listing.state == "failed" and listing.found != DENIED:
            yield from _skipped("the store cannot be listed", *self._step_names()[1:])
            return
        yield self._try_if_listed("read", lambda: self._read(store))
        if not self.write:
            yield from _skipped(_WRITES_NOT_TESTED, *self._write_steps())
            if self.speed:
                yield self._try_if_listed("speed", lambda: self._read_speed(store))
            return
        try:
            yield from self._write(store)
        finally:
            self._clean_up(store)

    def _step_names(self) -> list[str]:
        return ["list", "read", *self._write_steps(), *(["speed"] if self.speed else [])]

    def _write_steps(self) -> list[str]:
        return ["write", "read back", "put if absent", "put if unchanged", "delete"]

    def _folder(self) -> Path:
        return Path(url2pathname(urlsplit(self.url).path))

    def _open(self) -> Store:
        if self.url.startswith("file:"):
            root = self._folder()
            self.made = [folder for folder in (root, *root.parents) if not folder.exists()]
        store = self.open_store(self.url)
        if store.local_root is not None or not store.shareable:
            return store
        return Store(store.url, replace(store.access, max_retries=_RETRIES))

    def _try(self, name: str, act: Callable[[], str]) -> CheckStep:
        try:
            return CheckStep(name, "ok", act())
        except _FailedError as error:
            return CheckStep(name, "failed", error.what, error.cure)
        except StoreError as error:
            return self._failed(name, error)

    def _try_if_listed(self, name: str, act: Callable[[], str]) -> CheckStep:
        return self._try(name, act) if self.listed else _skip(name, "there is no object to read")

    def _failed(self, name: str, error: StoreError) -> CheckStep:
        trouble = diagnose_error(error, self.url) or Diagnosis(str(error), "")
        return CheckStep(name, "failed", trouble.what, trouble.cure)

    def _list(self, store: Store) -> str:
        found = list(islice(store.listing(), _LISTED))
        self.listed = [item for item in found if item.size > 0 and not item.key.startswith(PREFIX)]
        if not found:
            return "empty"
        many = pluralize(len(found), "object") if len(found) < _LISTED else f"at least {_LISTED:,} objects"
        return f"{many}, such as {found[0].key}"

    def _read(self, store: Store) -> str:
        smallest = min(self.listed, key=lambda item: item.size)
        with store.open(smallest.key) as reader:
            size = len(reader.read(1 << 20))
        if size != min(smallest.size, 1 << 20):
            raise _FailedError(
                f"{smallest.key}: {size:,} bytes were read, and the listing says {smallest.size:,}",
                "check the server's log",
            )
        return f"{size:,} bytes of {smallest.key}"

    def _write(self, store: Store) -> Iterator[CheckStep]:
        key = self.prefix + "صوت and more"
        data = uuid.uuid4().bytes * 64

        def put() -> str:
            self.written.add(key)
            store.put(key, data)
            return f"{len(data):,} bytes below {self.prefix}"

        writing = self._try("write", put)
        yield writing
        if writing.state == "failed":
            yield from _skipped("writing failed", *self._write_steps()[1:])
            if self.speed:
                yield _skip("speed", "writing failed")
            return
        yield self._try("read back", lambda: self._read_back(store, key, data))
        yield self._try("put if absent", lambda: self._put_if_absent(store, key, data))
        yield self._try("put if unchanged", lambda: self._put_if_unchanged(store))
        yield self._try("delete", lambda: self._delete(store, key))
        if self.speed:
            yield self._try("speed", lambda: self._speed(store))

    def _read_back(self, store: Store, key: str, data: bytes) -> str:
        if store.get(key) != data:
            raise _FailedError("the bytes that were read differ from those written", "a proxy may change them")
        if [item.key for item in store.listing(self.prefix)] != [key]:
            raise _FailedError(
                "the object that was just written is not in the listing",
                "builds work, but a store should list all its objects",
            )
        return "the same bytes, listed at once"

    def _put_if_absent(self, store: Store, key: str, data: bytes) -> str:
        with contextlib.suppress(ConflictError):
            store.put(key, b"other", if_absent=True)
        if store.get(key) != data:
            raise _FailedError(
                "the server ignores the condition of a put-if-absent and overwrites silently",
                "never run two builds on this work root at once, or use a newer server",
            )
        return "honoured"

    def _put_if_unchanged(self, store: Store) -> str:
        key = self.prefix + "changing"
        self.written.add(key)
        old = store.put(key, b"one")
        store.put(key, b"two, by another")
        with contextlib.suppress(ConflictError):
            store.put(key, b"three", if_unchanged=old)
        if store.get(key) != b"two, by another":
            raise _FailedError(
                "the server ignores the condition of a put-if-unchanged and overwrites silently",
                "never run two builds on this work root at once, or use a newer server",
            )
        return "honoured"

    def _delete(self, store: Store, key: str) -> str:
        store.delete([key])
        if store.head(key) is not None:
            raise _FailedError(
                "the object still exists", "check the bucket for a retention rule, object lock or versioning"
            )
        self.written.discard(key)
        return "deleted at once"

    def _speed(self, store: Store) -> str:
        small = {
            f"{self.prefix}{number:04}": uuid.uuid4().bytes * (_SMALL_BYTES // 16) for number in range(_SMALL_OBJECTS)
        }
        large = uuid.uuid4().bytes * (_LARGE_BYTES // 16)
        self.written.update(small)
        self.written.add(self.prefix + "large")
        with progress.track("speed", 4, "measurements") as task:
            times = []
            for act in (
                lambda: store.put_many(small),
                lambda: store.map_keys(store.get, small),
                lambda: store.put(self.prefix + "large", large),
                lambda: store.get(self.prefix + "large"),
            ):
                times.append(_seconds(act))
                task.advance()
        puts, gets = (f"{_SMALL_OBJECTS / seconds:,.0f}" for seconds in times[:2])
        up, down = (f"{_LARGE_BYTES / seconds / 1e6:,.0f}" for seconds in times[2:])
        return (
            f"{puts} puts/s and {gets} gets/s of {_SMALL_BYTES >> 10} KiB, {store.access.in_flight} in flight; "
            f"one object of {_LARGE_BYTES >> 20} MiB: up {up}, down {down} MB/s"
        )

    def _read_speed(self, store: Store) -> str:
        small = [item for item in self.listed if item.size <= 1 << 20][:_SMALL_OBJECTS]
        large = max(self.listed, key=lambda item: item.size)
        parts = []
        if small:
            seconds = _seconds(lambda: store.map_keys(store.get, [item.key for item in small]))
            parts.append(f"{len(small) / seconds:,.0f} gets/s, {store.access.in_flight} in flight")
        size = min(large.size, _LARGE_BYTES)
        with store.open(large.key) as reader:
            seconds = _seconds(lambda: reader.read(size))
        parts.append(f"{size / 1e6:,.1f} MB of one object: {size / seconds / 1e6:,.0f} MB/s")
        return "; ".join(parts)

    def _clean_up(self, store: Store) -> None:
        """Remove what was written, as far as the store permits it; the step `delete` reports if it does not."""
        with contextlib.suppress(StoreError):
            store.delete(sorted(self.written))
        if store.local_root is not None:
            for folder in (store.local_root / self.prefix, *self.made):
                with contextlib.suppress(OSError):
                    folder.rmdir()


def _clock(ahead_sec: float | None) -> CheckStep:
    if ahead_sec is None:
        return _skip("clock", "the server does not send its time")
    apart, direction = abs(ahead_sec), "behind" if ahead_sec > 0 else "ahead of"
    found = f"this machine's clock is {apart:,.0f} s {direction} the server's"
    cure = "set the clock (`timedatectl set-ntp true`)"
    if apart > _MAX_CLOCK_SEC:
        return CheckStep("clock", "failed", f"{found}; requests are rejected from {_MAX_CLOCK_SEC} s on", cure)
    if apart > _NOTABLE_CLOCK_SEC:
        return CheckStep("clock", "ok", f"{found}; requests are rejected from {_MAX_CLOCK_SEC} s on", cure)
    return CheckStep("clock", "ok", "agrees with the server's")


def _with_region(step: CheckStep, region: str) -> CheckStep:
    return replace(step, cure=f"{step.cure} ({region})") if region and "another region" in step.found else step


def _skip(name: str, why: str) -> CheckStep:
    return CheckStep(name, "skipped", why)


def _skipped(why: str, *names: str) -> Iterator[CheckStep]:
    return (_skip(name, why) for name in names)


def _seconds(act: Callable[[], object]) -> float:
    started = time.perf_counter()
    act()
    return time.perf_counter() - started
