"""Listings of a store: obstore's, and those for names that obstore cannot list.

obstore ends a listing at the first name that is not a valid key (`a//b`, a control character). Such a name is an entry
with a reason (`ObjectInfo.unusable`) and must not hide the others: a bucket is then listed from the server's XML
(`raw_listing`), a folder file by file. A folder with symbolic links is also listed file by file, unless the store
follows links that lead out of it.
"""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import obstore
from obstore.exceptions import BaseError, InvalidPathError

from voice_core.storage.errors import StoreError, to_store_error
from voice_core.storage.local_files import is_part_file
from voice_core.storage.local_links import LINK_OUTSIDE, has_links, walk_inside
from voice_core.storage.object_info import INVALID_KEY, ObjectInfo, is_valid_key
from voice_core.storage.raw_listing import list_raw_entries
from voice_core.storage.retries import Retries

if TYPE_CHECKING:
    from voice_core.storage.store import Store


def list_objects(store: "Store", prefix: str) -> Iterator[ObjectInfo]:
    """All objects below the folder `prefix`, in no particular order. Raises `StoreError`."""
    if store.local_root is not None:
        folder = store.local_root / prefix
        if store.contained and has_links(folder):
            yield from _list_following_links(store, store.local_root, folder)
        else:
            yield from _list_folder(store, store.local_root, prefix)
    elif not prefix and _has_keys_with_leading_slash(store):
        yield from _list_raw(store, prefix)
    else:
        yield from _list_bucket(store, prefix)


def _list_bucket(store: "Store", prefix: str) -> Iterator[ObjectInfo]:
    """obstore's listing, resumed after transient errors; the raw listing for the rest after an invalid name."""
    seen: set[str] = set()
    last: str | None = None
    retries = Retries(store.access.max_retries)
    while True:
        try:
            for chunk in obstore.list(store.backend, prefix or None, offset=last):
                for meta in chunk:
                    info = ObjectInfo.from_meta(meta)
                    seen.add(info.key)
                    last = info.key
                    yield info
            return
        except InvalidPathError:
            break
        except (BaseError, OSError, ValueError) as error:
            if not retries.wait(error):
                raise to_store_error(error, "list", store.url, prefix) from None
    yield from (info for info in _list_raw(store, prefix) if info.key not in seen)


def _list_raw(store: "Store", prefix: str) -> Iterator[ObjectInfo]:
    """List a bucket that contains invalid names, name by name as the server sends them."""
    try:
        for key, size, etag, version in list_raw_entries(store.url, store.access, prefix):
            valid = is_valid_key(key)
            yield ObjectInfo(key, size, etag, version) if valid else ObjectInfo(key, 0, unusable=INVALID_KEY)
    except (OSError, ValueError) as error:
        raise to_store_error(error, "list", store.url, prefix) from None


def _has_keys_with_leading_slash(store: "Store") -> bool:
    """Whether the bucket contains names such as `/a/b`, which obstore's listing shows as `a/b`."""
    if not store.shareable or urlsplit(store.url).path.strip("/"):
        return False
    with contextlib.suppress(BaseError, OSError, ValueError):  # the listing itself raises it
        return "" in obstore.list_with_delimiter(store.backend)["common_prefixes"]
    return False


def _list_folder(store: "Store", root: Path, prefix: str) -> Iterator[ObjectInfo]:
    """obstore's listing of a local folder; file by file for the rest after an invalid name."""
    seen: set[str] = set()
    try:
        for chunk in obstore.list(store.backend, prefix or None):
            for meta in chunk:
                info = ObjectInfo.from_meta(meta)
                seen.add(info.key)
                yield info
        return
    except (BaseError, OSError, ValueError):
        pass  # an invalid name, or a folder that cannot be read
    yield from (info for info in _list_files(store, root, root / prefix) if info.key not in seen)


def _list_files(store: "Store", root: Path, folder: Path) -> Iterator[ObjectInfo]:
    """List a folder that contains invalid names, file by file."""
    for place, folders, names in os.walk(folder, followlinks=True):  # as obstore does
        if os.path.islink(place) and Path(place).parent.resolve().is_relative_to(Path(place).resolve()):
            folders.clear()  # a link to a folder above itself
            continue
        for path in (Path(place, name) for name in names if not is_part_file(name)):
            if path.is_file() and (info := _find_file(store, path.relative_to(root).as_posix())) is not None:
                yield info


def _list_following_links(store: "Store", root: Path, folder: Path) -> Iterator[ObjectInfo]:
    """List a folder with symbolic links, file by file, without leaving the store."""
    for key, inside in walk_inside(root, folder):
        info = _find_file(store, key) if inside else ObjectInfo(key, 0, unusable=LINK_OUTSIDE)
        if info is not None:
            yield info


def _find_file(store: "Store", key: str) -> ObjectInfo | None:
    """The entry of a file; None where it was removed since."""
    try:
        return store.head(key)
    except (StoreError, UnicodeError):
        return ObjectInfo(key.encode("utf-8", "backslashreplace").decode(), 0, unusable=INVALID_KEY)
