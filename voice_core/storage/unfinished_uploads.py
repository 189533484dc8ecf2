"""Unfinished multipart uploads: a bucket stores, and bills, their parts, and does not list them."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

from voice_core.storage.store import Store, StoreError

STALE_AFTER = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class UnfinishedUpload:
    """`key` is relative to the bucket; `size_bytes` is the size of the uploaded parts."""

    key: str
    upload_id: str
    started: datetime
    size_bytes: int


def list_unfinished_uploads(store: Store, *, older_than: timedelta = STALE_AFTER) -> list[UnfinishedUpload]:
    """The unfinished uploads below the URL of an s3:// store. Raises `StoreError`, also if boto3 is not installed."""
    bucket, prefix = _bucket_and_prefix(store)
    until = datetime.now(UTC) - older_than
    with _Client(store) as client:
        found = []
        for page in client.get_paginator("list_multipart_uploads").paginate(Bucket=bucket, Prefix=prefix):
            for item in page.get("Uploads", ()):
                if item["Initiated"] <= until:
                    name = {"Bucket": bucket, "Key": item["Key"], "UploadId": item["UploadId"]}
                    parts = client.get_paginator("list_parts").paginate(**name)
                    size = sum(part["Size"] for page_of_parts in parts for part in page_of_parts.get("Parts", ()))
                    found.append(UnfinishedUpload(item["Key"], item["UploadId"], item["Initiated"], size))
        return found


def abort_uploads(store: Store, uploads: list[UnfinishedUpload]) -> None:
    """Abort these uploads: the bucket deletes their parts."""
    bucket, _ = _bucket_and_prefix(store)
    with _Client(store) as client:
        for upload in uploads:
            client.abort_multipart_upload(Bucket=bucket, Key=upload.key, UploadId=upload.upload_id)


def _bucket_and_prefix(store: Store) -> tuple[str, str]:
    parts = urlsplit(store.url)
    folder = parts.path.strip("/")
    return parts.netloc, f"{folder}/" if folder else ""


class _Client:
    """A boto3 client whose errors are raised as `StoreError`."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def __enter__(self) -> Any:
        try:
            return self._store.access.s3_client()
        except ModuleNotFoundError:
            raise StoreError(
                f"{self._store.url}: boto3 is needed to list unfinished uploads: "
                "pip install 'voice-data-factory[cloud]'"
            ) from None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if kind is None:
            return
        from botocore.exceptions import BotoCoreError, ClientError

        if isinstance(error, BotoCoreError | ClientError):
            raise StoreError(f"{self._store.url}: unfinished uploads cannot be listed or aborted: {error}") from None
