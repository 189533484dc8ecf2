"""One object store over file://, s3://, gs:// and memory://.

Keys are `/`-separated, relative to the store's URL, and never start with a slash. A put is atomic: a reader
sees the old object or the new one. What fails for a passing reason (`_TRANSIENT`) is tried again; what does not is a
`StoreError` that names the operation and the key.
"""

import contextlib
import errno
import hashlib
import io
import mmap
import os
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from pathlib import Path
from typing import IO, Any, TypeVar
from urllib.parse import urlsplit
from urllib.request import url2pathname

import obstore
from obstore.exceptions import BaseError, InvalidPathError
from obstore.store import LocalStore

from voice_core.storage.config import StoreConfig
from voice_core.storage.diagnosis import diagnose, root_cause_message
from voice_core.storage.errors import (
    AccessDeniedError,
    ConflictError,
    ObjectNotFoundError,
    StoreError,
    describe_error,
    is_transient,
    sleep_before_retry,
    to_store_error,
)
from voice_core.storage.fence import Fence
from voice_core.storage.local_files import (
    create_part_file,
    is_part_file,
    remove_abandoned_parts,
    remove_parts,
    sync_file_system,
    sync_folder,
)
from voice_core.storage.local_links import LINK_OUTSIDE, has_links, is_outside, walk_inside
from voice_core.storage.range_reader import RangeReader
from voice_core.storage.raw_listing import list_raw_entries

__all__ = ["AccessDeniedError", "ConflictError", "ObjectInfo", "ObjectNotFoundError", "Store", "StoreError"]

UNFOLLOWED_LINK_SIZE = -2  # in a listing: a link that is not followed
_READ_AHEAD_BYTES = 1 << 18
_MAX_PUT_BYTES = 4 << 30  # S3 and Google Cloud Storage take 5 GiB in one request
_MIN_UPLOAD_BYTES_PER_SEC = 256 << 10
_MULTIPART_BYTES = 64 << 20  # below, one request: a killed upload then leaves nothing at all behind
_BULK_DELETE_SCHEMES = ("s3:", "s3a:")  # other stores take one request a key, and fail where one is not there
_MAX_BULK_DELETE = 1000  # as many as a request of S3 may name
_WRITES = ("put", "delete")
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class ObjectInfo:
    """What a store says of an object. `etag` and `version` (a GCS generation, say) change with its content."""

    key: str
    size: int
    etag: str
    version: str

    @property
    def identity(self) -> str:
        """Equal as long as the store says that the object is unchanged. (Listings know no versions.)"""
        return f"{self.size}:{self.etag or self.version}"


class Store:
    """Objects below one URL. Can be sent to another process, unless it is `memory://`.

    With a `fence` (see `lease.held`) nothing is written once the claim on it is lost.
    """

    def __init__(
        self, url: str, access: StoreConfig | None = None, *, create: bool = False, contained: bool = False
    ) -> None:
        """With `contained`, symbolic links that lead out of a local folder are not followed."""
        self.url = url.rstrip("/")
        self._contained = contained
        self.access = access or StoreConfig()
        self.fence: Fence | None = None
        self._create = create
        parts = urlsplit(url)
        self.local_root: Path | None = None
        try:
            if parts.scheme == "file":
                self.local_root = Path(url2pathname(parts.path))
                if not create and not self.local_root.is_dir():
                    raise StoreError(f"{self.url}: there is no such folder")
                self._store: Any = LocalStore(self.local_root, mkdir=create, automatic_cleanup=create)
            else:
                self._store = self.access.open(url)
        except (BaseError, ValueError, OSError) as error:
            if isinstance(error, StoreError):
                raise
            trouble = diagnose(root_cause_message(error), self.url)
            raise StoreError(f"{self.url} cannot be opened: {describe_error(trouble, error)}") from None

    def __repr__(self) -> str:
        return f"Store({self.url!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        if not self.shareable:
            raise TypeError("a memory:// store lives in one process")
        return _reopen, (self.url, self.access, self._create, self._contained, self.fence)

    def with_fence(self, fence: Fence | None, access: StoreConfig | None = None) -> "Store":
        """The same store with this fence, or none; `access` changes how many of its requests are in flight."""
        other = object.__new__(type(self))
        other.__dict__.update(self.__dict__, fence=fence, access=access or self.access)
        return other

    def verify_lock(self) -> None:
        """Raise `LockLostError` where the claim is lost: for writes elsewhere that rest on it."""
        if self.fence is not None:
            self.fence.verify()

    @property
    def shareable(self) -> bool:
        """Whether another process that opens the same URL sees the same objects."""
        return not self.url.startswith("memory:")

    def get(self, key: str, expected: ObjectInfo | None = None) -> bytes:
        """The whole object. Raises `ObjectNotFoundError`, and `StoreError` where it is not the `expected` one."""
        return self._request("get", key, lambda: self._get(key, expected))

    def _get(self, key: str, expected: ObjectInfo | None) -> bytes:
        answer = obstore.get(self._store, key)
        self._check_unchanged(answer.meta, expected)
        data = answer.bytes().to_bytes()
        if len(data) != answer.meta["size"]:
            raise OSError(f"short body: {len(data)} of {answer.meta['size']} bytes")
        return data

    def find(self, key: str) -> bytes | None:
        """The whole object, or None where there is none."""
        try:
            return self.get(key)
        except ObjectNotFoundError:
            return None

    def put(
        self,
        key: str,
        data: bytes,
        *,
        if_absent: bool = False,
        if_unchanged: ObjectInfo | None = None,
        durable: bool = True,
    ) -> ObjectInfo:
        """Put an object; returns what the store calls it now.

        With `if_absent`, only where there is none; with `if_unchanged`, only where it is still the one that `head`
        showed. Otherwise `ConflictError`.

        A power cut does not undo a put, nor anything that was put before it, whichever process put that: so a commit
        record is on disk only where the files that it lists are. Files whose commit record is still to come are put
        with `durable=False`, which is a hundred times as fast on a local disk. Remote stores ignore this.
        """
        if self.local_root is not None:
            return self._request("put", key, lambda: self._put_file(key, data, if_absent, if_unchanged, durable))
        if self.fence is not None and not if_absent and if_unchanged is None:
            return self.fence.put(self, key, data)
        mode: Any = "overwrite"
        if if_absent:
            mode = "create"
        elif if_unchanged is not None:
            mode = {"e_tag": f'"{if_unchanged.etag}"'}
            if if_unchanged.version:
                mode["version"] = if_unchanged.version
        if mode == "overwrite":
            options: dict[str, Any] = {"use_multipart": len(data) >= _MULTIPART_BYTES}
        else:
            options = {"mode": mode}
        try:
            done = self._request("put", key, lambda: obstore.put(self._store, key, data, **options))
        except ConflictError:
            # The answer to a put that succeeded may get lost; trying it again then conflicts with itself.
            there = self.head(key)
            if there is None or there.size != len(data) or not self._has_content(key, data):
                raise
            return there
        return ObjectInfo(key, len(data), _etag(done["e_tag"]), done["version"] or "")

    def _has_content(self, key: str, data: bytes) -> bool:
        """Whether an object has this content; read in constant memory where it is large."""
        if len(data) < _MULTIPART_BYTES:
            return self.find(key) == data
        return self.hash(key) == hashlib.sha256(data).hexdigest()

    def _put_file(
        self, key: str, data: bytes, if_absent: bool, if_unchanged: ObjectInfo | None, durable: bool
    ) -> ObjectInfo:
        """Write beside the file, then rename. Comparing with `if_unchanged` and renaming are two steps here."""
        path = self._path(key)
        with create_part_file(path) as part:
            part.path.write_bytes(data)
            if durable:
                sync_file_system(path.parent)
            if if_unchanged is not None and self._head(key) != if_unchanged:
                raise FileExistsError(errno.EEXIST, "the file has changed")
            if if_absent:
                os.link(part.path, path)
            else:
                part.path.replace(path)
            if durable:
                sync_folder(path.parent)
            with contextlib.suppress(FileNotFoundError):  # removed since
                info = self._head(key)
                if part.is_at(path):
                    return info
        return ObjectInfo(key, len(data), "replaced", "")

    def put_many(self, objects: Mapping[str, bytes]) -> None:
        """Put many objects, many at a time where the store is remote. On disk for certain after the next `put`."""
        self.map_keys(lambda key: self.put(key, objects[key], durable=False), objects)

    def head(self, key: str) -> ObjectInfo | None:
        """What the store says of an object, or None where there is none."""
        try:
            return self._request("head", key, lambda: self._head(key))
        except ObjectNotFoundError:
            return None

    def _head(self, key: str) -> ObjectInfo:
        return _object_info(obstore.head(self._store, key))

    def listing(self, prefix: str = "") -> Iterator[ObjectInfo]:
        """All objects whose key starts with the folder `prefix`, in no particular order.

        One whose name cannot be a key here comes with the size −1, a link that is not followed with −2.
        """
        if self._contained and self.local_root is not None and has_links(self.local_root / prefix):
            yield from self._list_following_links(self.local_root / prefix)
            return
        if not prefix and self._has_keys_with_leading_slash():
            yield from self._list_raw(prefix)
            return
        seen: set[str] = set()
        last: str | None = None
        tries = 0
        while True:
            try:
                for chunk in obstore.list(self._store, prefix or None, offset=last):
                    for meta in chunk:
                        info = _object_info(meta)
                        seen.add(info.key)
                        last = info.key if self.local_root is None else None
                        yield info
                return
            except (BaseError, OSError, ValueError) as error:
                tries += 1
                if self.local_root is not None or isinstance(error, InvalidPathError):
                    break
                if tries >= self.access.max_retries or not is_transient(error):
                    raise to_store_error(error, "list", self.url, prefix) from None
            sleep_before_retry(tries)
        others = self._list_raw(prefix) if self.local_root is None else self._list_files(self.local_root / prefix)
        yield from (info for info in others if info.key not in seen)

    def _has_keys_with_leading_slash(self) -> bool:
        """Whether the bucket holds names such as `/a/b`, which obstore's listing shows as `a/b`."""
        if self.local_root is not None or not self.shareable or urlsplit(self.url).path.strip("/"):
            return False
        with contextlib.suppress(BaseError, OSError, ValueError):  # the listing itself tells what is wrong
            return "" in obstore.list_with_delimiter(self._store)["common_prefixes"]
        return False

    def _list_raw(self, prefix: str) -> Iterator[ObjectInfo]:
        """List a bucket in which some name is no key, name by name as the server sends them."""
        try:
            for key, size, etag, version in list_raw_entries(self.url, self.access, prefix):
                yield ObjectInfo(key, size if _is_valid_key(key) else -1, etag, version)
        except (OSError, ValueError) as error:
            raise to_store_error(error, "list", self.url, prefix) from None

    def _list_following_links(self, folder: Path) -> Iterator[ObjectInfo]:
        """List a folder with links, without leaving the store."""
        assert self.local_root is not None
        for key, inside in walk_inside(self.local_root, folder):
            try:
                info = self.head(key) if inside else ObjectInfo(key, UNFOLLOWED_LINK_SIZE, "", "")
            except (StoreError, UnicodeError):
                info = None
            yield info or ObjectInfo(key.encode("utf-8", "backslashreplace").decode(), -1, "", "")

    def _list_files(self, folder: Path) -> Iterator[ObjectInfo]:
        """List a folder in which some name is no key: file by file."""
        assert self.local_root is not None
        for place, folders, names in os.walk(folder, followlinks=True):  # as obstore does
            if os.path.islink(place) and Path(place).parent.resolve().is_relative_to(Path(place).resolve()):
                folders.clear()  # a link to a folder above itself
                continue
            for path in (Path(place, name) for name in names if not is_part_file(name)):
                if not path.is_file():
                    continue
                key = path.relative_to(self.local_root).as_posix()
                try:
                    info = self.head(key)
                except (StoreError, UnicodeError):
                    info = ObjectInfo(key.encode("utf-8", "backslashreplace").decode(), -1, "", "")
                if info is not None:  # else removed since
                    yield info

    def delete(self, keys: Iterable[str]) -> None:
        """Delete objects, and what a killed writer left of them; one that is not there is no error."""
        keys = list(dict.fromkeys(keys))
        if not self.url.startswith(_BULK_DELETE_SCHEMES):
            self.map_keys(self._delete_one, keys)
            return
        for start in range(0, len(keys), _MAX_BULK_DELETE):
            group = keys[start : start + _MAX_BULK_DELETE]
            valid = [key for key in group if _is_valid_key(key)]
            try:
                self._request("delete", group[0], partial(obstore.delete, self._store, valid))
            except StoreError:  # of which the message names no key, or the wrong one
                self.map_keys(self._delete_one, valid)
            self.map_keys(self._delete_one, [key for key in group if not _is_valid_key(key)])

    def _delete_one(self, key: str) -> None:
        if not _is_valid_key(key):
            raise StoreError(f"delete {self.url}/{key}: this is no valid key")
        if self.local_root is not None:
            remove_parts(self._path(key))
        with contextlib.suppress(ObjectNotFoundError):
            self._request("delete", key, partial(obstore.delete, self._store, key))

    def remove_partial_files(self) -> int:
        """Remove what killed writers left; returns how many files. A remote store keeps nothing of them."""
        return remove_abandoned_parts(self.local_root) if self.local_root is not None else 0

    def _path(self, key: str) -> Path:
        """The file of a key in a local store."""
        assert self.local_root is not None
        path = self.local_root / key
        if ".." in path.parts or not path.is_relative_to(self.local_root):
            raise StoreError(f"{self.url}/{key}: this key leads out of the store")
        return path

    def open(self, key: str) -> IO[bytes]:
        """A seekable reader that fetches ranges, for looking at a header without the whole object."""
        if self.local_root is not None:
            path = self._path(key)
            return self._request("get", key, lambda: path.open("rb"))
        info = self._request("get", key, lambda: self._head(key))
        return io.BufferedReader(RangeReader(partial(self.read_range, key), info.size), _READ_AHEAD_BYTES)

    def read_range(self, key: str, start: int, length: int) -> bytes:
        """A part of an object; less of it where it ends before."""
        return self._request(
            "get", key, lambda: obstore.get_range(self._store, key, start=start, length=length).to_bytes()
        )

    def _check_unchanged(self, meta: Mapping[str, Any], expected: ObjectInfo | None) -> None:
        if expected is not None and _object_info(meta).identity != expected.identity:
            raise StoreError(f"{self.url}/{expected.key} has changed since it was listed; the next run reads it again")

    def download(self, key: str, path: Path, expected: ObjectInfo | None = None) -> str:
        """Copy an object to a file in constant memory; returns the SHA-256 of what was read. Raises as `get`."""

        def copy() -> str:
            digest = hashlib.sha256()
            answer = obstore.get(self._store, key)
            self._check_unchanged(answer.meta, expected)
            size = 0
            with path.open("wb") as out:
                for chunk in answer.stream(min_chunk_size=1 << 22):
                    digest.update(chunk)
                    size += out.write(chunk)
            if size != answer.meta["size"]:
                raise OSError(f"short body: {size} of {answer.meta['size']} bytes")
            return digest.hexdigest()

        return self._request("get", key, copy)

    def upload(self, key: str, path: Path) -> None:
        """Put a file, in constant memory where it is large."""
        size = path.stat().st_size
        if self.local_root is not None or size < _MULTIPART_BYTES:
            self.put(key, path.read_bytes())
        elif self.fence is not None and size < _MAX_PUT_BYTES:
            # One request, since one of many parts cannot be conditional. The time for an answer counts from its start.
            wait_sec = max(self.access.read_timeout_sec, size / _MIN_UPLOAD_BYTES_PER_SEC)
            store = Store(self.url, replace(self.access, read_timeout_sec=wait_sec)).with_fence(self.fence)
            with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
                self.fence.put(store, key, data, check_existing=True)
        else:
            self._request("put", key, lambda: obstore.put(self._store, key, path))
            self.verify_lock()

    @contextlib.contextmanager
    def create(self, key: str, scratch: Path | None = None) -> Iterator[Path]:
        """A path to write a large object to; it is put when the block ends well, and dropped otherwise.

        On a local store that is a file beside the object, renamed at the end, and on disk for certain after the next
        `put`. On a remote one it is a file in the folder `scratch`.
        """
        if self.local_root is None:
            with tempfile.TemporaryDirectory(prefix="voice-", dir=scratch) as folder:
                path = Path(folder, "object")
                yield path
                self.upload(key, path)
            return
        path = self._path(key)
        with create_part_file(path) as part:
            yield part.path
            self._request("put", key, lambda: part.path.replace(path))

    def hash(self, key: str) -> str:
        """The SHA-256 of an object, read in constant memory."""
        digest = hashlib.sha256()
        with self.open(key) as reader:
            while block := reader.read(1 << 20):
                digest.update(block)
        return digest.hexdigest()

    def map_keys(self, function: Callable[[str], T], keys: Iterable[str]) -> list[T]:
        """Apply to many keys, with many requests in flight where the store is remote; results in order."""
        keys = list(keys)
        if self.local_root is not None or len(keys) < 2:
            return [function(key) for key in keys]
        with ThreadPoolExecutor(min(self.access.in_flight, len(keys)), thread_name_prefix="store") as pool:
            return list(pool.map(function, keys))

    def _request(self, what: str, key: str, call: Callable[[], T]) -> T:
        if self._contained and self.local_root is not None and is_outside(self.local_root, key):
            if what == "head":
                raise ObjectNotFoundError(f"{self.url}/{key} is {LINK_OUTSIDE}")
            raise StoreError(f"{self.url}/{key} is {LINK_OUTSIDE}")
        tries = 0
        while True:
            if self.fence is not None and what in _WRITES:
                self.fence.check()
            try:
                with self._request_limiter:
                    return call()
            except StoreError:
                raise
            except (BaseError, OSError, ValueError) as error:  # ValueError: a key that is no path
                tries += 1
                if tries >= self.access.max_retries or self.local_root is not None or not is_transient(error):
                    raise to_store_error(error, what, self.url, key) from None
            sleep_before_retry(tries)

    @property
    def _request_limiter(self) -> contextlib.AbstractContextManager[Any]:
        return contextlib.nullcontext() if self.local_root is not None else _request_limiter(self.access)


def _reopen(url: str, access: StoreConfig, create: bool, contained: bool, fence: Fence | None) -> Store:
    return Store(url, access, create=create, contained=contained).with_fence(fence)


def _object_info(meta: Mapping[str, Any]) -> ObjectInfo:
    return ObjectInfo(meta["path"], meta["size"], _etag(meta["e_tag"]), meta["version"] or "")


def _etag(value: str | None) -> str:
    return (value or "").strip('"')


@lru_cache(maxsize=32)
def _request_limiter(access: StoreConfig) -> threading.BoundedSemaphore:
    """Holds the requests of this process, over all its stores of one access, to `in_flight` at once."""
    return threading.BoundedSemaphore(access.in_flight)


def _is_valid_key(key: str) -> bool:
    """Whether obstore can ask for it."""
    printable = all(ord(letter) >= 32 and ord(letter) != 127 for letter in key)
    return printable and all(part not in ("", ".", "..") for part in key.split("/"))
