"""What a store reports about an object, and which names are valid keys."""

from collections.abc import Mapping
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
