"""One object store over file://, s3://, gs:// and memory://.

Keys are `/`-separated, relative to the store's URL, and never start with a slash. A put is atomic: a reader sees the
old object or the new one. Transient errors (`retries`) are tried again; others are a `StoreError` that names the
operation and the key.
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
from dataclasses import replace
from functools import lru_cache, partial
from pathlib import Path
from typing import IO, Any, TypeVar
from urllib.parse import urlsplit
from urllib.request import url2pathname

import obstore
from obstore.exceptions import BaseError
from obstore.store import LocalStore

from voice_core.storage.config import StoreConfig
from voice_core.storage.errors import (
    AccessDeniedError,
    ConflictError,
    ObjectNotFoundError,
    StoreError,
    describe_error,
    diagnose_error,
    to_store_error,
)
from voice_core.storage.fence import Fence
from voice_core.storage.listing import list_objects
from voice_core.storage.local_files import (
    create_part_file,
    remove_abandoned_parts,
    remove_parts,
    sync_file_system,
    sync_folder,
)
from voice_core.storage.local_links import LINK_OUTSIDE, is_outside
from voice_core.storage.object_info import ObjectInfo, RangeReader, is_valid_key, strip_etag
from voice_core.storage.retries import Retries

__all__ = ["AccessDeniedError", "ConflictError", "ObjectInfo", "ObjectNotFoundError", "Store", "StoreError"]

_READ_AHEAD_BYTES = 1 << 18
_MAX_PUT_BYTES = 4 << 30  # S3 and Google Cloud Storage accept 5 GiB in one request
_MIN_UPLOAD_BYTES_PER_SEC = 256 << 10
_MULTIPART_BYTES = 64 << 20  # smaller objects are one request: a killed upload then leaves nothing behind
_BULK_DELETE_SCHEMES = ("s3:", "s3a:")  # other stores need one request per key, and fail for a missing object
_MAX_BULK_DELETE = 1000  # keys in one request of S3
_WRITES = ("put", "delete")
T = TypeVar("T")


class Store:
    """Objects below one URL. Can be pickled, unless it is `memory://`.

    With a `fence` (see `distributed_lock.hold_lock`) nothing is written once the lock is lost.
    """

    def __init__(
        self, url: str, access: StoreConfig | None = None, *, create: bool = False, contained: bool = False
    ) -> None:
        """Open the store at `url`. Raises `StoreError`.

        With `create`, a local folder is created. With `contained`, symbolic links that lead out of a local folder are
        not followed.
        """
        self.url = url.rstrip("/")
        self.contained = contained
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
                self.backend: Any = LocalStore(self.local_root, mkdir=create, automatic_cleanup=create)
            else:
                self.backend = self.access.open(url)
        except (BaseError, ValueError, OSError) as error:
            if isinstance(error, StoreError):
                raise
            description = describe_error(diagnose_error(error, self.url), error)
            raise StoreError(f"{self.url} cannot be opened: {description}") from None

    def __repr__(self) -> str:
        return f"Store({self.url!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        if not self.shareable:
            raise TypeError("a memory:// store cannot be pickled: it exists in one process")
        return _reopen, (self.url, self.access, self._create, self.contained, self.fence)

    def with_fence(self, fence: Fence | None, access: StoreConfig | None = None) -> "Store":
        """The same store with another fence, or none; `access` changes how many requests are in flight."""
        other = object.__new__(type(self))
        other.__dict__.update(self.__dict__, fence=fence, access=access or self.access)
        return other

    def verify_lock(self) -> None:
        """Raise `LockLostError` if the lock is lost: for writes elsewhere that depend on it."""
        if self.fence is not None:
            self.fence.verify()

    @property
    def shareable(self) -> bool:
        """Whether another process that opens the same URL sees the same objects."""
        return not self.url.startswith("memory:")

    def get(self, key: str, expected: ObjectInfo | None = None) -> bytes:
        """The whole object. Raises `ObjectNotFoundError`, and `StoreError` if it is not the `expected` one."""
        return self._request("get", key, lambda: self._get(key, expected))

    def _get(self, key: str, expected: ObjectInfo | None) -> bytes:
        answer = obstore.get(self.backend, key)
        self._check_unchanged(answer.meta, expected)
        data = answer.bytes().to_bytes()
        if len(data) != answer.meta["size"]:
            raise OSError(f"short body: {len(data)} of {answer.meta['size']} bytes")
        return data

    def find(self, key: str) -> bytes | None:
        """The whole object, or None if it does not exist."""
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
        """Put an object. Returns its new metadata.

        With `if_absent`, only if it does not exist; with `if_unchanged`, only if it is still the one that `head`
        returned. Otherwise raises `ConflictError`.

        A durable put survives a power cut, and so does everything that any process put before it: a commit record is
        on disk only if the files that it lists are. Files whose commit record follows are put with `durable=False`,
        which is a hundred times as fast on a local disk. Remote stores ignore `durable`.
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
            done = self._request("put", key, lambda: obstore.put(self.backend, key, data, **options))
        except ConflictError:
            # The response to a put that succeeded may be lost; the next try then conflicts with the first.
            there = self.head(key)
            if there is None or there.size != len(data) or not self._has_content(key, data):
                raise
            return there
        return ObjectInfo(key, len(data), strip_etag(done["e_tag"]), done["version"] or "")

    def _has_content(self, key: str, data: bytes) -> bool:
        """Whether an object has this content. A large one is read in constant memory."""
        if len(data) < _MULTIPART_BYTES:
            return self.find(key) == data
        return self.hash(key) == hashlib.sha256(data).hexdigest()

    def _put_file(
        self, key: str, data: bytes, if_absent: bool, if_unchanged: ObjectInfo | None, durable: bool
    ) -> ObjectInfo:
        """Write a part file, then rename it. The comparison with `if_unchanged` and the rename are two steps here."""
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
        return ObjectInfo(key, len(data), "replaced")

    def put_many(self, objects: Mapping[str, bytes]) -> None:
        """Put many objects, many at a time on a remote store. On a local one they are durable after the next `put`."""
        self.map_keys(lambda key: self.put(key, objects[key], durable=False), objects)

    def head(self, key: str) -> ObjectInfo | None:
        """The metadata of an object, or None if it does not exist."""
        try:
            return self._request("head", key, lambda: self._head(key))
        except ObjectNotFoundError:
            return None

    def _head(self, key: str) -> ObjectInfo:
        return ObjectInfo.from_meta(obstore.head(self.backend, key))

    def listing(self, prefix: str = "") -> Iterator[ObjectInfo]:
        """All objects below the folder `prefix`, in no particular order.

        An entry that cannot be read (an invalid key, a link that is not followed) has a reason in `unusable`.
        """
        return list_objects(self, prefix)

    def delete(self, keys: Iterable[str]) -> None:
        """Delete objects and their abandoned part files. An object that does not exist is not an error."""
        keys = list(dict.fromkeys(keys))
        if not self.url.startswith(_BULK_DELETE_SCHEMES):
            self.map_keys(self._delete_one, keys)
            return
        for start in range(0, len(keys), _MAX_BULK_DELETE):
            group = keys[start : start + _MAX_BULK_DELETE]
            valid = [key for key in group if is_valid_key(key)]
            try:
                self._request("delete", group[0], partial(obstore.delete, self.backend, valid))
            except StoreError:  # its message names no key, or the wrong one
                self.map_keys(self._delete_one, valid)
            self.map_keys(self._delete_one, [key for key in group if not is_valid_key(key)])

    def _delete_one(self, key: str) -> None:
        if not is_valid_key(key):
            raise StoreError(f"delete {self.url}/{key}: this is not a valid key")
        if self.local_root is not None:
            remove_parts(self._path(key))
        with contextlib.suppress(ObjectNotFoundError):
            self._request("delete", key, partial(obstore.delete, self.backend, key))

    def remove_partial_files(self) -> int:
        """Remove the part files of killed writers. Returns their number; a remote store has none."""
        return remove_abandoned_parts(self.local_root) if self.local_root is not None else 0

    def _path(self, key: str) -> Path:
        """The file of a key in a local store. Raises `StoreError` for a key with `..`."""
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
        """`length` bytes of an object from `start`; fewer if it ends before."""
        return self._request(
            "get", key, lambda: obstore.get_range(self.backend, key, start=start, length=length).to_bytes()
        )

    def _check_unchanged(self, meta: Mapping[str, Any], expected: ObjectInfo | None) -> None:
        if expected is not None and ObjectInfo.from_meta(meta).identity != expected.identity:
            raise StoreError(f"{self.url}/{expected.key} has changed since it was listed; the next run reads it again")

    def download(self, key: str, path: Path, expected: ObjectInfo | None = None) -> str:
        """Copy an object to a file in constant memory. Returns the SHA-256 of what was read. Raises as `get`."""

        def copy() -> str:
            digest = hashlib.sha256()
            answer = obstore.get(self.backend, key)
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
        """Put a file. A large one is read in constant memory."""
        size = path.stat().st_size
        if self.local_root is not None or size < _MULTIPART_BYTES:
            self.put(key, path.read_bytes())
        elif self.fence is not None and size < _MAX_PUT_BYTES:
            # One request, since a multipart upload cannot be conditional. The read timeout counts from its start.
            wait_sec = max(self.access.read_timeout_sec, size / _MIN_UPLOAD_BYTES_PER_SEC)
            store = Store(self.url, replace(self.access, read_timeout_sec=wait_sec)).with_fence(self.fence)
            with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
                self.fence.put(store, key, data, check_existing=True)
        else:
            self._request("put", key, lambda: obstore.put(self.backend, key, path))
            self.verify_lock()

    @contextlib.contextmanager
    def create(self, key: str, scratch: Path | None = None) -> Iterator[Path]:
        """A path to write a large object to. It is put when the block ends without an error, and discarded otherwise.

        On a local store the path is a part file beside the object, which is renamed at the end and durable after the
        next `put`. On a remote store it is a file in the folder `scratch`.
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
        """Apply `function` to many keys, with many requests in flight on a remote store. Results are in order."""
        keys = list(keys)
        if self.local_root is not None or len(keys) < 2:
            return [function(key) for key in keys]
        with ThreadPoolExecutor(min(self.access.in_flight, len(keys)), thread_name_prefix="store") as pool:
            return list(pool.map(function, keys))

    def _request(self, what: str, key: str, call: Callable[[], T]) -> T:
        if self.contained and self.local_root is not None and is_outside(self.local_root, key):
            if what == "head":
                raise ObjectNotFoundError(f"{self.url}/{key} is {LINK_OUTSIDE}")
            raise StoreError(f"{self.url}/{key} is {LINK_OUTSIDE}")
        retries = Retries(self.access.max_retries)
        while True:
            if self.fence is not None and what in _WRITES:
                self.fence.check()
            try:
                with self._request_limiter:
                    return call()
            except StoreError:
                raise
            except (BaseError, OSError, ValueError) as error:  # ValueError: an invalid key
                if self.local_root is not None or not retries.wait(error):
                    raise to_store_error(error, what, self.url, key) from None

    @property
    def _request_limiter(self) -> contextlib.AbstractContextManager[Any]:
        return contextlib.nullcontext() if self.local_root is not None else _request_limiter(self.access)


def _reopen(url: str, access: StoreConfig, create: bool, contained: bool, fence: Fence | None) -> Store:
    return Store(url, access, create=create, contained=contained).with_fence(fence)


@lru_cache(maxsize=32)
def _request_limiter(access: StoreConfig) -> threading.BoundedSemaphore:
    """Limits the requests of this process, over all its stores of one access, to `in_flight` at once."""
    return threading.BoundedSemaphore(access.in_flight)
