"""Uploads that were begun and never finished: a bucket keeps, and charges for, their parts, and shows them nowhere."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

from voice_core.storage.store import Store, StoreError

STALE_AFTER = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class UnfinishedUpload:
    """`key` is the bucket's, `size_bytes` what its parts take."""

    key: str
    upload_id: str
    started: datetime
    size_bytes: int


def list_unfinished_uploads(store: Store, *, older_than: timedelta = STALE_AFTER) -> list[UnfinishedUpload]:
    """Of an s3:// store, below its URL. Raises `StoreError`, also where boto3 is not installed."""
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
    """Give up these uploads; the bucket then deletes their parts."""
    bucket, _ = _bucket_and_prefix(store)
    with _Client(store) as client:
        for upload in uploads:
            client.abort_multipart_upload(Bucket=bucket, Key=upload.key, UploadId=upload.upload_id)


def _bucket_and_prefix(store: Store) -> tuple[str, str]:
    parts = urlsplit(store.url)
    folder = parts.path.strip("/")
    return parts.netloc, f"{folder}/" if folder else ""


class _Client:
    """The cloud's own client, whose errors become ours."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def __enter__(self) -> Any:
        try:
            return self._store.access.s3_client()
        except ModuleNotFoundError:
            raise StoreError(
                f"{self._store.url}: to look for unfinished uploads boto3 is needed: "
                "pip install 'voice-data-factory[cloud]'"
            ) from None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if kind is None:
            return
        from botocore.exceptions import BotoCoreError, ClientError

        if isinstance(error, BotoCoreError | ClientError):
            raise StoreError(f"{self._store.url}: its unfinished uploads cannot be listed or ended: {error}") from None
