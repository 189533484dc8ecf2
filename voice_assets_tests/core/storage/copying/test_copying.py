"""A copy makes one store hold what another holds, over real servers, and does not again what is done."""

import os
from pathlib import Path

import pytest

from voice_assets_tests.core.storage.copying.stores import content, counts, fill, fill_corpus, local
from voice_assets_tests.servers.faulty import FaultyProxy
from voice_assets_tests.servers.gcs import GcsServer
from voice_assets_tests.servers.s3 import S3Server
from voice_core.storage import copy_store
from voice_core.storage.copy_plan import CopyOptions
from voice_core.storage.copy_record import FOLDER
from voice_core.storage.copy_store import copy, plan_copy
from voice_core.storage.scratch import Scratch
from voice_core.storage.store import Store


def test_a_folder_goes_to_a_bucket_and_back(here: Store, there: Store, bucket: Store) -> None:
    fill(here)
    here.put("empty", b"")
    here.put("أثير/نشرة الأخبار.json", b"{}")
    assert counts(copy(here, bucket, CopyOptions())) == (7, 0, 7, 0)
    assert counts(copy(bucket, there, CopyOptions())) == (7, 0, 7, 0)
    assert content(here) == content(bucket) == content(there)


def test_recordings_on_google_go_to_s3_and_to_a_folder(
    gcs_server: GcsServer, s3_server: S3Server, bucket: Store, there: Store
) -> None:
    url = gcs_server.new_bucket()
    objects = {f"news/{number}.mp3": bytes([number]) * 3000 for number in range(5)}
    gcs_server.upload(url, objects)
    source = Store(url, gcs_server.access())
    for target in (bucket, there):
        assert counts(copy(source, target, CopyOptions())) == (5, 0, 5, 0)
        assert content(target) == objects
        assert counts(copy(source, target, CopyOptions())) == (0, 5, 0, 0)


@pytest.mark.parametrize("record", [True, False])
def test_a_second_copy_of_5000_objects_reads_no_bodies(there: Store, here: Store, record: bool) -> None:
    for number in range(5000):
        path = here.local_root / f"{number % 7}" / f"{number}.bin"  # type: ignore[operator]
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(number.to_bytes(4))
    options = CopyOptions(record=record)
    assert counts(copy(here, there, options)) == (5000, 0, 5000, 0)
    assert any(item.key.startswith(FOLDER) for item in there.listing()) is record
    assert counts(copy(here, there, options)) == (0, 5000, 0 if record else 5000, 0)


def test_a_second_copy_asks_a_server_for_listings_only(here: Store, s3_server: S3Server, s3_proxy: FaultyProxy) -> None:
    fill(here, 20)
    target = Store(s3_server.new_bucket(), s3_server.access(s3_proxy.url))
    copy(here, target, CopyOptions())
    s3_proxy.behave()
    assert counts(copy(here, target, CopyOptions())) == (0, 20, 0, 0)
    assert s3_proxy.count("GET|HEAD|PUT", r"seg_") == 0
    assert len(s3_proxy.requests) < 5


def test_buckets_that_name_objects_by_their_hash_need_no_record(s3_server: S3Server, bucket: Store) -> None:
    other = Store(s3_server.new_bucket(), s3_server.access())
    fill(bucket)
    copy(bucket, other, CopyOptions(record=False))
    assert counts(copy(bucket, other, CopyOptions(record=False))) == (0, 5, 0, 0)


def test_buckets_that_keep_versions_are_recognised_from_their_listing(
    here: Store, there: Store, s3_server: S3Server
) -> None:
    url = s3_server.new_bucket()
    s3_server.client().put_bucket_versioning(
        Bucket=url.removeprefix("s3://"), VersioningConfiguration={"Status": "Enabled"}
    )
    bucket = Store(url, s3_server.access())
    fill_corpus(here)
    for copied, same in ((8, 0), (0, 8)):
        assert counts(copy(here, bucket, CopyOptions())) == (copied, same, copied, 0)
        assert counts(copy(bucket, there, CopyOptions())) == (copied, same, copied, 0)


def test_what_changed_is_copied_and_what_was_only_touched_is_not(here: Store, there: Store) -> None:
    fill(here)
    copy(here, there, CopyOptions())
    here.put("zad/video_seg_0.npz", b"x" * 2000)
    here.put("zad/video_seg_1.npz", b"shorter")
    here.put("zad/video_seg_2.npz", here.get("zad/video_seg_2.npz"))
    here.put("zad/video_seg_9.npz", b"new")
    assert counts(copy(here, there, CopyOptions())) == (3, 3, 4, 0)
    assert content(here) == content(there)
    assert counts(copy(here, there, CopyOptions())) == (0, 6, 0, 0)


def test_what_lay_at_the_destination_already_is_compared_not_copied(here: Store, bucket: Store) -> None:
    fill(here)
    fill(bucket, 3)
    bucket.put("zad/video_seg_3.npz", b"y" * 2000)
    assert counts(copy(here, bucket, CopyOptions())) == (2, 3, 5, 0)
    assert content(here) == content(bucket)


def test_verify_finds_what_no_listing_shows(here: Store, there: Store) -> None:
    fill(here)
    copy(here, there, CopyOptions())
    path = there._path("zad/video_seg_3.npz")
    times = path.stat()
    with path.open("r+b") as file:
        file.write(b"rot")
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert copy(here, there, CopyOptions()).copied == 0
    assert counts(copy(here, there, CopyOptions(verify=True))) == (1, 4, 5, 0)
    assert content(here) == content(there)


def test_a_record_of_another_source_does_not_hide_a_difference(tmp_path: Path, here: Store, there: Store) -> None:
    fill(here)
    copy(here, there, CopyOptions())
    other = local(tmp_path / "other")
    fill(other)
    other.put("zad/video_seg_0.npz", b"z" * 2000)
    assert counts(copy(other, there, CopyOptions())) == (1, 4, 5, 0)
    assert content(other) == content(there)


def test_large_objects_pass_through_a_file(
    here: Store, bucket: Store, there: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(copy_store, "WHOLE_BYTES", 1000)
    fill(here, size=300_000)
    (tmp_path / "scratch").mkdir()
    scratch = Scratch(tmp_path / "scratch", 700_000, "a test allows that")
    assert counts(copy(here, bucket, CopyOptions(), scratch)) == (5, 0, 5, 0)
    assert counts(copy(bucket, there, CopyOptions(jobs=2))) == (5, 0, 5, 0)
    assert content(here) == content(there)
    assert [path.name for path in (tmp_path / "scratch").iterdir() if path.is_dir()] == []
    here.put("zad/larger", b"l" * 800_000)
    failure = copy(here, bucket, CopyOptions(), scratch).failures[0]
    assert "a test allows that" in failure.reason


def test_globs_choose_keys(here: Store, there: Store) -> None:
    fill(here)
    fill(here, folder="atheer")
    here.put("zad/notes.txt", b"n")
    copy(here, there, CopyOptions(include=("zad/*",), exclude=("*.txt", "*_0.npz")))
    assert sorted(content(there)) == [f"zad/video_seg_{number}.npz" for number in (1, 2, 3, 4)]


def test_delete_removes_what_the_source_has_not_and_nothing_that_is_excluded(here: Store, there: Store) -> None:
    fill(here)
    for key in ("old/a.npz", "old/b.txt"):
        there.put(key, b"old")
    copy(here, there, CopyOptions())
    assert "old/a.npz" in content(there)
    assert copy(here, there, CopyOptions(delete=True, exclude=("*.txt",))).deleted == 1
    assert sorted(content(there)) == sorted([*content(here), "old/b.txt"])
    assert copy(here, there, CopyOptions(delete=True)).deleted == 1
    assert copy(here, there, CopyOptions(delete=True)).copied == 0


def test_delete_refuses_to_empty_the_destination(here: Store, there: Store) -> None:
    fill(there)
    with pytest.raises(ValueError, match="would empty the destination"):
        copy(here, there, CopyOptions(delete=True))
    assert len(content(there)) == 5


def test_a_plan_does_nothing(here: Store, there: Store) -> None:
    fill(here)
    there.put("zad/video_seg_0.npz", b"x")
    there.put("old", b"x")
    plan = plan_copy(here, there, CopyOptions(delete=True))[0]
    assert plan.counts() == {"new": 4, "replace": 1, "compare": 0, "same": 0}
    assert plan.deletions == ("old",)
    assert sorted(content(there)) == ["old", "zad/video_seg_0.npz"]


def test_nothing_is_mirrored_into_itself(here: Store, tmp_path: Path) -> None:
    inner = local(tmp_path / "here" / "inner")
    for source, target in ((here, here), (here, inner), (inner, here)):
        with pytest.raises(ValueError, match="onto or into itself"):
            copy(source, target, CopyOptions())
