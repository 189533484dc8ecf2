"""Names in a bucket as they are, from the cloud's own client: also those that can be no key of ours (`a//b`)."""

from collections.abc import Iterator
from urllib.parse import urlsplit

from voice_core.access import Access

Name = tuple[str, int, str, str]  # key below the URL, size, etag, version


def list_names(url: str, access: Access, prefix: str) -> Iterator[Name]:
    """Raises `OSError` or `ValueError`, also where the client is not installed."""
    parts = urlsplit(url)
    root = parts.path.strip("/")
    root = f"{root}/" if root else ""
    lister = _s3 if parts.scheme.startswith("s3") else _gcs
    try:
        for key, size, etag, version in lister(parts.netloc, root + prefix, access):
            yield key.removeprefix(root), size, etag, version
    except ModuleNotFoundError as error:
        raise ValueError(
            f"some name here is no valid key, and to list such names {error.name} is needed: "
            "pip install 'voice-data-factory[cloud]'"
        ) from None


def _s3(bucket: str, prefix: str, access: Access) -> Iterator[Name]:
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        pages = access.s3_client().get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
        for page in pages:
            for item in page.get("Contents", ()):
                yield item["Key"], item["Size"], item["ETag"].strip('"'), ""
    except (BotoCoreError, ClientError) as error:
        raise OSError(str(error)) from None


def _gcs(bucket: str, prefix: str, access: Access) -> Iterator[Name]:
    from google.api_core.exceptions import GoogleAPICallError

    try:
        for blob in access.gcs_client().list_blobs(bucket, prefix=prefix):
            yield blob.name, blob.size, (blob.etag or "").strip('"'), str(blob.generation)
    except GoogleAPICallError as error:
        raise OSError(str(error)) from None
