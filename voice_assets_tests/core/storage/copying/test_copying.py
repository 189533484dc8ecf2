"""Copies between stores on real servers, and copies that are repeated."""

import os
from pathlib import Path

import pytest

from voice_assets_tests.core.storage.copying.copy_helpers import (
    local_store,
    read_objects,
    report_counts,
    write_corpus,
    write_segments,
)
from voice_assets_tests.servers.faulty_proxy import FaultyProxy
from voice_assets_tests.servers.gcs import GcsServer
from voice_assets_tests.servers.s3 import S3Server
from voice_core.storage import copy_store
from voice_core.storage.copy_plan import CopyOptions
from voice_core.storage.copy_record import COPY_RECORD_FOLDER
from voice_core.storage.copy_store import copy, plan_copy
from voice_core.storage.scratch import Scratch
from voice_core.storage.store import Store


def test_a_folder_goes_to_a_bucket_and_back(source_store: Store, target_store: Store, bucket: Store) -> None:
    write_segments(source_store)
    source_store.put("empty", b"")
    source_store.put("أثير/نشرة الأخبار.json", b"{}")
    assert report_counts(copy(source_store, bucket, CopyOptions())) == (7, 0, 7, 0)
    assert report_counts(copy(bucket, target_store, CopyOptions())) == (7, 0, 7, 0)
    assert read_objects(source_store) == read_objects(bucket) == read_objects(target_store)


def test_recordings_on_google_go_to_s3_and_to_a_folder(
    gcs_server: GcsServer, s3_server: S3Server, bucket: Store, target_store: Store
) -> None:
    url = gcs_server.new_bucket()
    objects = {f"news/{number}.mp3": bytes([number]) * 3000 for number in range(5)}
    gcs_server.upload(url, objects)
    source = Store(url, gcs_server.access())
    for target in (bucket, target_store):
        assert report_counts(copy(source, target, CopyOptions())) == (5, 0, 5, 0)
        assert read_objects(target) == objects
        assert report_counts(copy(source, target, CopyOptions())) == (0, 5, 0, 0)


@pytest.mark.parametrize(("record", "objects"), [(True, 5000), (False, 1000)])
def test_a_second_copy_of_many_objects_reads_no_bodies(
    target_store: Store, source_store: Store, record: bool, objects: int
) -> None:
    for number in range(objects):
        path = source_store.local_root / f"{number % 7}" / f"{number}.bin"  # type: ignore[operator]
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(number.to_bytes(4))
    options = CopyOptions(record=record)
    assert report_counts(copy(source_store, target_store, options)) == (objects, 0, objects, 0)
    assert any(item.key.startswith(COPY_RECORD_FOLDER) for item in target_store.listing()) is record
    assert report_counts(copy(source_store, target_store, options)) == (0, objects, 0 if record else objects, 0)


def test_a_second_copy_requests_listings_only(source_store: Store, s3_server: S3Server, s3_proxy: FaultyProxy) -> None:
    write_segments(source_store, 20)
    target = Store(s3_server.new_bucket(), s3_server.access(s3_proxy.url))
    copy(source_store, target, CopyOptions())
    s3_proxy.clear_faults()
    assert report_counts(copy(source_store, target, CopyOptions())) == (0, 20, 0, 0)
    assert s3_proxy.count("GET|HEAD|PUT", r"seg_") == 0
    assert len(s3_proxy.requests) < 5


def test_buckets_that_name_objects_by_their_hash_need_no_record(s3_server: S3Server, bucket: Store) -> None:
    other = Store(s3_server.new_bucket(), s3_server.access())
    write_segments(bucket)
    copy(bucket, other, CopyOptions(record=False))
    assert report_counts(copy(bucket, other, CopyOptions(record=False))) == (0, 5, 0, 0)


def test_buckets_that_keep_versions_are_recognised_from_their_listing(
    source_store: Store, target_store: Store, s3_server: S3Server
) -> None:
    url = s3_server.new_bucket()
    s3_server.client().put_bucket_versioning(
        Bucket=url.removeprefix("s3://"), VersioningConfiguration={"Status": "Enabled"}
    )
    bucket = Store(url, s3_server.access())
    write_corpus(source_store)
    for copied, same in ((8, 0), (0, 8)):
        assert report_counts(copy(source_store, bucket, CopyOptions())) == (copied, same, copied, 0)
        assert report_counts(copy(bucket, target_store, CopyOptions())) == (copied, same, copied, 0)


def test_changed_objects_are_copied_and_rewritten_identical_ones_are_not(
    source_store: Store, target_store: Store
) -> None:
    write_segments(source_store)
    copy(source_store, target_store, CopyOptions())
    source_store.put("zad/video_seg_0.npz", b"x" * 2000)
    source_store.put("zad/video_seg_1.npz", b"shorter")
    source_store.put("zad/video_seg_2.npz", source_store.get("zad/video_seg_2.npz"))
    source_store.put("zad/video_seg_9.npz", b"new")
    assert report_counts(copy(source_store, target_store, CopyOptions())) == (3, 3, 4, 0)
    assert read_objects(source_store) == read_objects(target_store)
    assert report_counts(copy(source_store, target_store, CopyOptions())) == (0, 6, 0, 0)


def test_objects_that_the_destination_already_has_are_compared_and_not_copied(
    source_store: Store, bucket: Store
) -> None:
    write_segments(source_store)
    write_segments(bucket, 3)
    bucket.put("zad/video_seg_3.npz", b"y" * 2000)
    assert report_counts(copy(source_store, bucket, CopyOptions())) == (2, 3, 5, 0)
    assert read_objects(source_store) == read_objects(bucket)


def test_verify_finds_differences_that_listings_do_not_show(source_store: Store, target_store: Store) -> None:
    write_segments(source_store)
    copy(source_store, target_store, CopyOptions())
    path = target_store._path("zad/video_seg_3.npz")
    times = path.stat()
    with path.open("r+b") as file:
        file.write(b"rot")
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert copy(source_store, target_store, CopyOptions()).copied == 0
    assert report_counts(copy(source_store, target_store, CopyOptions(verify=True))) == (1, 4, 5, 0)
    assert read_objects(source_store) == read_objects(target_store)


def test_a_record_of_another_source_does_not_hide_a_difference(
    tmp_path: Path, source_store: Store, target_store: Store
) -> None:
    write_segments(source_store)
    copy(source_store, target_store, CopyOptions())
    other = local_store(tmp_path / "other")
    write_segments(other)
    other.put("zad/video_seg_0.npz", b"z" * 2000)
    assert report_counts(copy(other, target_store, CopyOptions())) == (1, 4, 5, 0)
    assert read_objects(other) == read_objects(target_store)


def test_large_objects_pass_through_a_file(
    source_store: Store, bucket: Store, target_store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(copy_store, "MAX_IN_MEMORY_BYTES", 1000)
    write_segments(source_store, size=300_000)
    (tmp_path / "scratch").mkdir()
    scratch = Scratch(tmp_path / "scratch", 700_000, "a test allows that")
    assert report_counts(copy(source_store, bucket, CopyOptions(), scratch)) == (5, 0, 5, 0)
    assert report_counts(copy(bucket, target_store, CopyOptions(jobs=2))) == (5, 0, 5, 0)
    assert read_objects(source_store) == read_objects(target_store)
    assert [path.name for path in (tmp_path / "scratch").iterdir() if path.is_dir()] == []
    source_store.put("zad/larger", b"l" * 800_000)
    failure = copy(source_store, bucket, CopyOptions(), scratch).failures[0]
    assert "a test allows that" in failure.reason


def test_globs_select_keys(source_store: Store, target_store: Store) -> None:
    write_segments(source_store)
    write_segments(source_store, folder="atheer")
    source_store.put("zad/notes.txt", b"n")
    copy(source_store, target_store, CopyOptions(include=("zad/*",), exclude=("*.txt", "*_0.npz")))
    assert sorted(read_objects(target_store)) == [f"zad/video_seg_{number}.npz" for number in (1, 2, 3, 4)]


def test_delete_removes_objects_that_the_source_lacks_unless_they_are_excluded(
    source_store: Store, target_store: Store
) -> None:
    write_segments(source_store)
    for key in ("old/a.npz", "old/b.txt"):
        target_store.put(key, b"old")
    copy(source_store, target_store, CopyOptions())
    assert "old/a.npz" in read_objects(target_store)
    assert copy(source_store, target_store, CopyOptions(delete=True, exclude=("*.txt",))).deleted == 1
    assert sorted(read_objects(target_store)) == sorted([*read_objects(source_store), "old/b.txt"])
    assert copy(source_store, target_store, CopyOptions(delete=True)).deleted == 1
    assert copy(source_store, target_store, CopyOptions(delete=True)).copied == 0


def test_delete_refuses_to_empty_the_destination(source_store: Store, target_store: Store) -> None:
    write_segments(target_store)
    with pytest.raises(ValueError, match="would empty the destination"):
        copy(source_store, target_store, CopyOptions(delete=True))
    assert len(read_objects(target_store)) == 5


def test_a_plan_writes_nothing(source_store: Store, target_store: Store) -> None:
    write_segments(source_store)
    target_store.put("zad/video_seg_0.npz", b"x")
    target_store.put("old", b"x")
    plan = plan_copy(source_store, target_store, CopyOptions(delete=True))[0]
    assert plan.counts() == {"new": 4, "replace": 1, "compare": 0, "same": 0}
    assert plan.deletions == ("old",)
    assert sorted(read_objects(target_store)) == ["old", "zad/video_seg_0.npz"]


def test_a_store_is_not_copied_into_itself(source_store: Store, tmp_path: Path) -> None:
    inner = local_store(tmp_path / "source_store" / "inner")
    for source, target in ((source_store, source_store), (source_store, inner), (inner, source_store)):
        with pytest.raises(ValueError, match="onto or into itself"):
            copy(source, target, CopyOptions())
