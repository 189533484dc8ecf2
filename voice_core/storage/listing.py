"""Listings of a store: obstore's, and those for names that obstore cannot list.

obstore ends a listing at the first name that is not a valid key (`a//b`, a control character). Such a name is an entry
with a reason (`ObjectInfo.unusable`) and must not hide the others: a bucket is then listed from the server's XML, a
folder file by file. A folder with symbolic links is also listed file by file, unless the store follows links that lead
out of it.
"""

import contextlib
import os
import re
import urllib.error
import urllib.request
from collections.abc import Iterator
from http.client import HTTPException
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, unquote_plus, urlsplit
from xml.etree import ElementTree

import obstore
from obstore.exceptions import BaseError, InvalidPathError

from voice_core.storage.config import StoreConfig
from voice_core.storage.errors import StoreError, first_line, to_store_error
from voice_core.storage.local_files import is_part_file
from voice_core.storage.local_links import LINK_OUTSIDE, has_links, walk_inside
from voice_core.storage.object_info import INVALID_KEY, ObjectInfo, is_valid_key, strip_etag
from voice_core.storage.retries import Retries

if TYPE_CHECKING:
    from voice_core.storage.store import Store

_RawEntry = tuple[str, int, str, str]  # name in the bucket, size, etag, version


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
    folder = f"{prefix.rstrip('/')}/" if prefix else ""
    try:
        parts = urlsplit(store.url)
        root = unquote(parts.path).strip("/")
        root = f"{root}/" if root else ""
        for name, size, etag, version in _list_pages(f"{parts.scheme}://{parts.netloc}", root + folder, store.access):
            key = name.removeprefix(root)
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


def _list_pages(bucket_url: str, prefix: str, access: StoreConfig) -> Iterator[_RawEntry]:
    """The objects whose names begin with `prefix`, by the requests that obstore makes too. Raises `OSError` or
    `ValueError`."""
    query = {"list-type": "2", "encoding-type": "url", "prefix": prefix}
    while True:
        try:
            address = access.sign_listing(bucket_url, query)
        except BaseError as error:
            if not bucket_url.startswith("gs:"):
                raise OSError(str(error)) from None
            yield from _list_with_google_client(bucket_url, prefix, access, error)
            return
        page = _fetch(address, access)
        decode = unquote_plus if page.findtext("{*}EncodingType") == "url" else str
        for item in page.iterfind("{*}Contents"):
            key, etag = decode(item.findtext("{*}Key", "")), item.findtext("{*}ETag", "")
            yield key, int(item.findtext("{*}Size", "0")), strip_etag(etag), ""
        token = page.findtext("{*}NextContinuationToken")
        if page.findtext("{*}IsTruncated") != "true" or not token:
            return
        query["continuation-token"] = token


def _fetch(address: str, access: StoreConfig) -> ElementTree.Element:
    retries = Retries(access.max_retries)
    while True:
        try:
            return ElementTree.fromstring(_read(address, access))
        except ElementTree.ParseError as error:
            raise ValueError(f"the server's listing is not XML: {error}") from None
        except OSError as error:
            if not retries.wait(error):
                raise


def _read(address: str, access: StoreConfig) -> bytes:
    timeout, context = access.read_timeout_sec, access.ssl_context()
    try:
        with urllib.request.urlopen(address, timeout=timeout, context=context) as response:
            return bytes(response.read())
    except urllib.error.HTTPError as error:  # the rest of its body may contain the signed text
        code = re.search(rb"<Code>(\w+)</Code>", error.read())
        raise OSError(f"{error.code} {error.reason} {code[1].decode() if code else ''}".rstrip()) from None
    except urllib.error.URLError as error:
        raise OSError(str(error.reason)) from None
    except (HTTPException, ConnectionError) as error:
        raise OSError(f"connection reset: {error}") from None
    except TimeoutError:
        raise OSError("operation timed out") from None


def _list_with_google_client(bucket_url: str, prefix: str, access: StoreConfig, why: BaseError) -> Iterator[_RawEntry]:
    """For Google credentials that obstore cannot sign with, such as those of a user account."""
    try:
        from google.api_core.exceptions import GoogleAPICallError

        client = access.gcs_client()
    except ModuleNotFoundError:
        raise ValueError(
            "the bucket contains a name that is not a valid key, and listing such names needs a service account key "
            f"(VOICE_GCS__CREDENTIALS_FILE) or pip install 'voice-data-factory[cloud]' ({first_line(why)})"
        ) from None
    try:
        for blob in client.list_blobs(bucket_url.removeprefix("gs://"), prefix=prefix):
            yield blob.name, blob.size, strip_etag(blob.etag), str(blob.generation)
    except GoogleAPICallError as error:
        raise OSError(str(error)) from None
