"""What a store reports about an object, which names are valid keys, and an object as a file."""

import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

INVALID_KEY = "its name is not a valid key: rename it at the source"


@dataclass(frozen=True, slots=True)
class ObjectInfo:
    """What a store reports about an object. `etag` and `version` (such as a GCS generation) change with its content.

    `unusable` is the reason why an entry of a listing cannot be read: `INVALID_KEY`, or `LINK_OUTSIDE` of
    `local_links`. It is empty for an object.
    """

    key: str
    size: int
    etag: str = ""
    version: str = ""
    unusable: str = ""

    @classmethod
    def from_meta(cls, meta: Mapping[str, Any]) -> "ObjectInfo":
        """From obstore's metadata of an object."""
        return cls(meta["path"], meta["size"], strip_etag(meta["e_tag"]), meta["version"] or "")

    @property
    def identity(self) -> str:
        """Equal as long as the store reports the object as unchanged. (Listings have no versions.)"""
        return f"{self.size}:{self.etag or self.version}"


def strip_etag(value: str | None) -> str:
    """An etag without its quotation marks."""
    return (value or "").strip('"')


def is_valid_key(key: str) -> bool:
    """Whether obstore can request this key.

    >>> is_valid_key("a/b.json"), is_valid_key("a//b"), is_valid_key("a/../b"), is_valid_key("tab\\tx")
    (True, False, False, False)
    """
    printable = all(ord(letter) >= 32 and ord(letter) != 127 for letter in key)
    return printable and all(part not in ("", ".", "..") for part in key.split("/"))


class RangeReader(io.RawIOBase):
    """An object of a remote store as a raw binary file of Python's io module.

    It is seekable and has `size` bytes, whose parts `read(start, length)` fetches.
    """

    def __init__(self, read: Callable[[int, int], bytes], size: int) -> None:
        self._read, self._size = read, size
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        length = min(len(buffer), self._size - self._at)
        if length <= 0:
            return 0
        data = self._read(self._at, length)
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        self._at = max(0, base + offset)
        return self._at

    def tell(self) -> int:
        return self._at
