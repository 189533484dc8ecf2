"""One object store over file://, s3://, gs:// and memory://.

Keys are `/`-separated, relative to the store's URL, and never start with a slash. A put is atomic: a reader
sees the old object or the new one. Credentials come from `options` or the environment, as obstore reads them.
"""

import contextlib
import hashlib
import io
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, TypeVar
from urllib.parse import urlsplit
from urllib.request import url2pathname

import obstore
from obstore.exceptions import BaseError, InvalidPathError, PermissionDeniedError, UnauthenticatedError
from obstore.store import LocalStore, from_url

_PART = ".part"  # of a file that is not finished
_READ_AHEAD_BYTES = 1 << 18
_IN_FLIGHT = 32  # objects at once on a remote store: enough to hide a round trip, few enough for one server
T = TypeVar("T")


class StoreError(OSError):
    """An object could not be read or written. The message names the operation, the key and the reason."""


class ObjectNotFoundError(StoreError):
    """There is no object under this key."""


@dataclass(frozen=True, slots=True)
class ObjectInfo:
    """What a store says of an object. `etag` and `version` (a GCS generation, say) change with its content."""

    key: str
    size: int
    etag: str
    version: str

    @property
    def identity(self) -> str:
        """Equal as long as the store says that the object is unchanged."""
        return f"{self.size}:{self.version or self.etag}"


class Store:
    """Objects below one URL. Can be sent to another process, unless it is `memory://`."""

    def __init__(self, url: str, options: Mapping[str, Any] | None = None, *, create: bool = False) -> None:
        self.url = url.rstrip("/")
        self._options = dict(options or {})
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
                self._store = from_url(url, **self._options)
        except (BaseError, ValueError) as error:
            raise StoreError(f"{self.url} cannot be opened: {_first_line(error)}") from None

    def __repr__(self) -> str:
        return f"Store({self.url!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        if not self.shareable:
            raise TypeError("a memory:// store lives in one process")
        return _reopen, (self.url, self._options, self._create)

    @property
    def shareable(self) -> bool:
        """Whether another process that opens the same URL sees the same objects."""
        return not self.url.startswith("memory:")

    def get(self, key: str) -> bytes:
        """The whole object. Raises `ObjectNotFoundError`."""
        return self._do("get", key, lambda: obstore.get(self._store, key).bytes().to_bytes())

    def find(self, key: str) -> bytes | None:
        """The whole object, or None where there is none."""
        try:
            return self.get(key)
        except ObjectNotFoundError:
            return None

    def put(self, key: str, data: bytes) -> None:
        self._do("put", key, lambda: obstore.put(self._store, key, data))

    def put_many(self, objects: Mapping[str, bytes]) -> None:
        """Put many objects, many at a time where the store is remote."""
        self.each(lambda key: self.put(key, objects[key]), objects)

    def head(self, key: str) -> ObjectInfo | None:
        """What the store says of an object, or None where there is none."""
        try:
            return _object_info(self._do("head", key, lambda: obstore.head(self._store, key)))
        except ObjectNotFoundError:
            return None

    def listing(self, prefix: str = "") -> Iterator[ObjectInfo]:
        """All objects whose key starts with the folder `prefix`, in no particular order.

        A file of a local folder whose name cannot be a key comes with the size −1.
        """
        try:
            for chunk in obstore.list(self._store, prefix or None):
                for meta in chunk:
                    yield _object_info(meta)
        except (BaseError, OSError, ValueError) as error:
            if self.local_root is None:
                raise self._error("list", prefix, error) from None
            yield from self._walk(self.local_root / prefix)

    def _walk(self, folder: Path) -> Iterator[ObjectInfo]:
        """List a folder in which some name is no key: file by file."""
        assert self.local_root is not None
        for path in folder.rglob("*"):
            if path.is_file():
                key = path.relative_to(self.local_root).as_posix()
                try:
                    info = self.head(key)
                except (StoreError, UnicodeError):
                    info = None
                yield info or ObjectInfo(key.encode("utf-8", "backslashreplace").decode(), -1, "", "")

    def delete(self, keys: Iterable[str]) -> None:
        """Delete objects, and what a killed `create` left of them; one that is not there is no error."""

        def one(key: str) -> None:
            if self.local_root is not None:
                (self.local_root / (key + _PART)).unlink(missing_ok=True)
            with contextlib.suppress(ObjectNotFoundError):
                self._do("delete", key, lambda: obstore.delete(self._store, key))

        self.each(one, list(keys))

    def open(self, key: str) -> IO[bytes]:
        """A seekable reader that fetches ranges, for looking at a header without the whole object."""
        if self.local_root is not None:
            path = self.local_root / key
            if ".." in path.parts or not path.is_relative_to(self.local_root):
                raise StoreError(f"get {self.url}/{key}: this key leads out of the store")
            return self._do("get", key, lambda: path.open("rb"))
        reader = self._do("get", key, lambda: obstore.open_reader(self._store, key))
        return io.BufferedReader(_RangeReader(reader), _READ_AHEAD_BYTES)

    def download(self, key: str, path: Path) -> str:
        """Copy an object to a file in constant memory; returns the SHA-256 of what was read."""
        digest = hashlib.sha256()

        def copy() -> None:
            with path.open("wb") as out:
                for chunk in obstore.get(self._store, key).stream(min_chunk_size=1 << 22):
                    digest.update(chunk)
                    out.write(chunk)

        self._do("get", key, copy)
        return digest.hexdigest()

    @contextlib.contextmanager
    def create(self, key: str) -> Iterator[Path]:
        """A path to write a large object to; it is put when the block ends well, and dropped otherwise.

        On a local store that is a file beside the object, renamed at the end; its name is always the same, so that
        one that a killed process left is overwritten.
        """
        if self.local_root is None:
            with tempfile.TemporaryDirectory(prefix="voice-") as folder:
                path = Path(folder, "object")
                yield path
                self._do("put", key, lambda: obstore.put(self._store, key, path))
            return
        path = self.local_root / (key + _PART)
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield path
            self._do("put", key, lambda: path.replace(self.local_root / key))  # type: ignore[operator]
        finally:
            path.unlink(missing_ok=True)

    def hash(self, key: str) -> str:
        """The SHA-256 of an object, read in constant memory."""
        digest = hashlib.sha256()
        with self.open(key) as reader:
            while block := reader.read(1 << 20):
                digest.update(block)
        return digest.hexdigest()

    def each(self, function: Callable[[str], T], keys: Iterable[str]) -> list[T]:
        """Apply to many keys, with many requests in flight where the store is remote; results in order."""
        keys = list(keys)
        if self.local_root is not None or len(keys) < 2:
            return [function(key) for key in keys]
        with ThreadPoolExecutor(min(_IN_FLIGHT, len(keys)), thread_name_prefix="store") as pool:
            return list(pool.map(function, keys))

    def _do(self, what: str, key: str, call: Callable[[], T]) -> T:
        try:
            return call()
        except (BaseError, OSError, ValueError) as error:  # ValueError: a key that is no path
            raise self._error(what, key, error) from None

    def _error(self, what: str, key: str, error: Exception) -> StoreError:
        where = f"{what} {self.url}/{key}"
        if isinstance(error, FileNotFoundError):
            return ObjectNotFoundError(f"{where}: not found")
        if isinstance(error, PermissionDeniedError | UnauthenticatedError):
            return StoreError(f"{where}: access denied; check the credentials ({_first_line(error)})")
        if isinstance(error, InvalidPathError):
            return StoreError(f"{where}: this key cannot be stored ({_first_line(error)})")
        return StoreError(f"{where}: {_first_line(error)}")


class _RangeReader(io.RawIOBase):
    """obstore's reader as Python's own kind of raw file."""

    def __init__(self, reader: Any) -> None:
        self._reader = reader

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = bytes(self._reader.read(len(buffer)))
        buffer[: len(data)] = data
        return len(data)

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        return int(self._reader.seek(offset, whence))

    def tell(self) -> int:
        return int(self._reader.tell())


def _reopen(url: str, options: dict[str, Any], create: bool) -> Store:
    return Store(url, options, create=create)


def _object_info(meta: Mapping[str, Any]) -> ObjectInfo:
    return ObjectInfo(meta["path"], meta["size"], (meta["e_tag"] or "").strip('"'), meta["version"] or "")


def _first_line(error: Exception) -> str:
    return str(error).strip().split("\n", 1)[0]
