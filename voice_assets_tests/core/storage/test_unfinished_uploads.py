"""Unfinished multipart uploads, which take space in a bucket and are not listed."""

from datetime import timedelta
from urllib.parse import urlsplit

import pytest

from voice_assets_tests.servers.s3 import S3Server
from voice_core.storage.store import Store, StoreError
from voice_core.storage.unfinished_uploads import abort_uploads, list_unfinished_uploads

NOW = timedelta(0)


def begin(server: S3Server, url: str, key: str, data: bytes) -> None:
    client, bucket = server.client(), urlsplit(url).netloc
    upload = client.create_multipart_upload(Bucket=bucket, Key=key)["UploadId"]
    client.upload_part(Bucket=bucket, Key=key, UploadId=upload, PartNumber=1, Body=data)


def test_unfinished_uploads_below_the_work_root_are_listed_with_their_size_and_aborted(s3_server: S3Server) -> None:
    bucket = s3_server.new_bucket()
    begin(s3_server, bucket, "work/datasets/voice/data/a.parquet", b"x" * 1000)
    begin(s3_server, bucket, "elsewhere/b", b"x" * 10)
    store = Store(f"{bucket}/work", s3_server.access())
    store.put("c", b"whole")
    (found,) = list_unfinished_uploads(store, older_than=NOW)
    assert (found.key, found.size_bytes) == ("work/datasets/voice/data/a.parquet", 1000)
    abort_uploads(store, [found])
    assert list_unfinished_uploads(store, older_than=NOW) == []
    assert len(list_unfinished_uploads(Store(bucket, s3_server.access()), older_than=NOW)) == 1
    assert store.get("c") == b"whole"


def test_a_recent_upload_is_not_listed(s3_server: S3Server) -> None:
    bucket = s3_server.new_bucket()
    begin(s3_server, bucket, "a", b"x")
    assert list_unfinished_uploads(Store(bucket, s3_server.access()), older_than=timedelta(days=100 * 365)) == []


def test_a_missing_bucket_is_named(s3_server: S3Server) -> None:
    store = Store("s3://no-such-bucket-here", s3_server.access())
    with pytest.raises(StoreError, match="s3://no-such-bucket-here: unfinished uploads cannot be listed"):
        list_unfinished_uploads(store)
