"""Errors during a copy."""

import os
import signal
import subprocess
import sys
from dataclasses import replace

import pytest

from voice_assets_tests.core.storage.copying.copy_helpers import read_objects, report_counts, write_segments
from voice_assets_tests.servers.faulty_proxy import FaultyProxy
from voice_assets_tests.servers.s3 import S3Server
from voice_core.storage.copy_plan import CopyOptions
from voice_core.storage.copy_record import COPY_RECORD_FOLDER
from voice_core.storage.copy_store import copy
from voice_core.storage.store import ObjectInfo, Store, StoreError


def test_a_failure_of_one_object_is_reported_and_a_second_run_copies_it(
    source_store: Store, s3_server: S3Server, s3_proxy: FaultyProxy
) -> None:
    write_segments(source_store, 20)
    target = Store(s3_server.new_bucket(), s3_server.access(s3_proxy.url))
    s3_proxy.answer(403, "AccessDenied", times=0, method="PUT", path=r"_seg_7\.npz")
    target.put("old", b"old")
    report = copy(source_store, target, CopyOptions(delete=True))
    assert [(failure.key, "access denied" in failure.reason) for failure in report.failures] == [
        ("zad/video_seg_7.npz", True)
    ]
    assert (report.copied, report.deleted, report.deletions_skipped) == (19, 0, 1)
    s3_proxy.clear_faults()
    assert report_counts(copy(source_store, target, CopyOptions(delete=True))) == (1, 19, 1, 0)
    assert read_objects(source_store) == read_objects(target)


def test_a_copy_stops_after_many_failures_in_a_row(
    source_store: Store, s3_server: S3Server, s3_proxy: FaultyProxy
) -> None:
    write_segments(source_store, 300, size=10)
    target = Store(s3_server.new_bucket(), s3_server.access(s3_proxy.url))
    s3_proxy.answer(403, "AccessDenied", times=0, method="PUT")
    with pytest.raises(StoreError, match="100 objects failed one after another"):
        copy(source_store, target, CopyOptions())
    assert s3_proxy.count("PUT") < 250


def test_truncated_bodies_are_never_stored(bucket: Store, target_store: Store, s3_proxy: FaultyProxy) -> None:
    write_segments(bucket, 10, size=50_000)
    source = Store(bucket.url, replace(bucket.access, endpoint_url=s3_proxy.url))
    s3_proxy.truncate_response(20_000, times=6, path="_seg_")
    assert report_counts(copy(source, target_store, CopyOptions())) == (10, 0, 10, 0)
    assert read_objects(bucket) == read_objects(target_store)


def test_an_object_that_is_replaced_while_it_is_copied_is_copied_again_next_time(
    source_store: Store, target_store: Store
) -> None:
    write_segments(source_store)

    class Restless(Store):
        def get(self, key: str) -> bytes:
            if key.endswith("_seg_2.npz"):
                self.put(key, b"longer than it was in the listing" * 100)
            return super().get(key)

    restless = Restless(source_store.url, create=True)
    assert report_counts(copy(restless, target_store, CopyOptions())) == (5, 0, 5, 0)
    assert read_objects(source_store) == read_objects(target_store)


def test_invalid_names_are_reported(source_store: Store, target_store: Store) -> None:
    write_segments(source_store)
    folder = os.fsencode(source_store.local_root)  # type: ignore[arg-type]
    with open(folder + b"/zad/\xff.npz", "wb"):  # no text in any encoding that a key has
        pass
    report = copy(source_store, target_store, CopyOptions())
    assert report.copied == 5
    assert ["rename it at the source" in failure.reason for failure in report.failures] == [True]


def test_empty_objects_that_represent_folders_are_not_failures(s3_server: S3Server, target_store: Store) -> None:
    url = s3_server.new_bucket()
    for key, body in (("stage1/", b""), ("stage1/zad/", b""), ("stage1/zad/a", b"1"), ("stage1/zad/empty", b"")):
        s3_server.client().put_object(Bucket=url.removeprefix("s3://"), Key=key, Body=body)
    for source in (Store(url, s3_server.access()), Store(f"{url}/stage1", s3_server.access())):
        report = copy(source, target_store, CopyOptions())
        assert (report.copied, report.folder_markers, report.failures) == (2, 2, [])


def test_a_key_that_the_destination_cannot_store_is_reported(bucket: Store, target_store: Store) -> None:
    write_segments(bucket)
    bucket.put("zad/" + "n" * 300 + ".npz", b"too long for a file name")
    bucket.put("both", b"a file")
    bucket.put("both/inside", b"and a folder")
    report = copy(bucket, target_store, CopyOptions())
    assert len(report.failures) == 2
    assert report.copied == 6


_PROGRAM = """
import sys
from voice_core.storage import copy_record
from voice_core.storage.copy_store import copy
from voice_core.storage.copy_plan import CopyOptions
from voice_core.storage.store import Store
copy_record._FLUSH_SEC = 0.0
copy(Store(sys.argv[1]), Store(sys.argv[2], create=True), CopyOptions(jobs=2))
"""


def test_a_killed_copy_is_resumed(source_store: Store, target_store: Store) -> None:
    write_segments(source_store, 400, size=20_000)

    def start() -> subprocess.Popen[bytes]:
        return subprocess.Popen([sys.executable, "-c", _PROGRAM, source_store.url, target_store.url])

    for least in (20, 120, 250):
        process = start()
        while process.poll() is None and _count(target_store) < least:
            pass
        process.send_signal(signal.SIGKILL)
        process.wait()
        for key, data in read_objects(target_store).items():
            assert data == source_store.get(key)
    done = _count(target_store)
    report = copy(source_store, target_store, CopyOptions())
    assert report.copied <= 400 - done + 2
    assert report.bodies_read <= report.copied + 20  # of what the last killed run had not noted yet
    assert read_objects(source_store) == read_objects(target_store)
    assert len(list(target_store.listing(COPY_RECORD_FOLDER))) == 1


def _count(store: Store) -> int:
    assert store.local_root is not None
    return sum(name.endswith(".npz") for _, _, names in os.walk(store.local_root) for name in names)


def test_a_stored_object_that_differs_is_removed_and_reported(source_store: Store, target_store: Store) -> None:
    class Careless(Store):
        def put(self, key: str, data: bytes, **conditions: object) -> ObjectInfo:
            return super().put(key, data.replace(b"good", b"evil"))

    source_store.put("a", b"all good")
    source_store.put("b", b"fine")
    report = copy(source_store, Careless(target_store.url), CopyOptions(record=False))
    assert [failure.key for failure in report.failures] == ["a"]
    assert "differs from what was sent" in report.failures[0].reason
    assert read_objects(target_store) == {"b": b"fine"}
