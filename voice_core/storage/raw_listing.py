"""List all names in a bucket, also those that obstore refuses (`a//b`).

obstore makes the same requests but parses the names into paths, and fails for those that are not. The XML is read here.
"""

import re
import urllib.error
import urllib.request
from collections.abc import Iterator
from http.client import HTTPException
from urllib.parse import unquote, unquote_plus, urlsplit
from xml.etree import ElementTree

from obstore.exceptions import BaseError

from voice_core.storage.config import StoreConfig
from voice_core.storage.errors import first_line
from voice_core.storage.object_info import strip_etag
from voice_core.storage.retries import Retries

RawEntry = tuple[str, int, str, str]  # key below the URL, size, etag, version


def list_raw_entries(url: str, access: StoreConfig, prefix: str) -> Iterator[RawEntry]:
    """List the objects below the folder `prefix`. Raises `OSError` or `ValueError`."""
    parts = urlsplit(url)
    root = unquote(parts.path).strip("/")
    root = f"{root}/" if root else ""
    folder = f"{prefix.rstrip('/')}/" if prefix else ""
    for key, size, etag, version in _list(f"{parts.scheme}://{parts.netloc}", root + folder, access):
        yield key.removeprefix(root), size, etag, version


def _list(bucket_url: str, prefix: str, access: StoreConfig) -> Iterator[RawEntry]:
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


def _list_with_google_client(bucket_url: str, prefix: str, access: StoreConfig, why: BaseError) -> Iterator[RawEntry]:
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
