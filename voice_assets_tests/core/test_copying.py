"""A copy makes one store hold what another holds, over real servers, and what goes wrong stays where it is."""

import os
import random
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from voice_assets_tests.servers.faulty import FaultyProxy
from voice_assets_tests.servers.gcs import GcsServer
from voice_assets_tests.servers.s3 import S3Server
from voice_core import copying
from voice_core.copy_plan import CopyOptions
from voice_core.copy_record import FOLDER
from voice_core.copying import CopyReport, copy, plan_copy
from voice_core.scratch import Scratch
from voice_core.store import ObjectInfo, Store, StoreError


def _local(folder: Path) -> Store:
    return Store(folder.as_uri(), create=True)


@pytest.fixture
def here(tmp_path: Path) -> Store:
    return _local(tmp_path / "here")


@pytest.fixture
def there(tmp_path: Path) -> Store:
    return _local(tmp_path / "there")


@pytest.fixture
def bucket(s3_server: S3Server) -> Store:
    return Store(s3_server.new_bucket() + "/stage1", s3_server.access())


def _fill(store: Store, count: int = 5, size: int = 2000, folder: str = "zad") -> None:
    for number in range(count):
        store.put(f"{folder}/video_seg_{number}.npz", random.Random(f"{folder}{number}").randbytes(size))


def _content(store: Store) -> dict[str, bytes]:
    return {item.key: store.get(item.key) for item in store.listing() if not item.key.startswith(FOLDER)}


def _counts(report: CopyReport) -> tuple[int, int, int, int]:
    return report.copied, report.identical, report.bodies_read, len(report.failures)


# --- what is copied, and what is not again


def test_a_folder_goes_to_a_bucket_and_back(here: Store, there: Store, bucket: Store) -> None:
    _fill(here)
    here.put("empty", b"")
    here.put("أثير/نشرة الأخبار.json", b"{}")
    assert _counts(copy(here, bucket, CopyOptions())) == (7, 0, 7, 0)
    assert _counts(copy(bucket, there, CopyOptions())) == (7, 0, 7, 0)
    assert _content(here) == _content(bucket) == _content(there)


def test_recordings_on_google_go_to_s3_and_to_a_folder(
    gcs_server: GcsServer, s3_server: S3Server, bucket: Store, there: Store
) -> None:
    url = gcs_server.new_bucket()
    objects = {f"news/{number}.mp3": bytes([number]) * 3000 for number in range(5)}
    gcs_server.upload(url, objects)
    source = Store(url, gcs_server.access())
    for target in (bucket, there):
        assert _counts(copy(source, target, CopyOptions())) == (5, 0, 5, 0)
        assert _content(target) == objects
        assert _counts(copy(source, target, CopyOptions())) == (0, 5, 0, 0)


@pytest.mark.parametrize("record", [True, False])
def test_a_second_copy_of_5000_objects_reads_no_bodies(there: Store, here: Store, record: bool) -> None:
    for number in range(5000):
        path = here.local_root / f"{number % 7}" / f"{number}.bin"  # type: ignore[operator]
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(number.to_bytes(4))
    options = CopyOptions(record=record)
    assert _counts(copy(here, there, options)) == (5000, 0, 5000, 0)
    assert any(item.key.startswith(FOLDER) for item in there.listing()) is record
    assert _counts(copy(here, there, options)) == (0, 5000, 0 if record else 5000, 0)


def test_a_second_copy_asks_a_server_for_listings_only(here: Store, s3_server: S3Server, s3_proxy: FaultyProxy) -> None:
    _fill(here, 20)
    target = Store(s3_server.new_bucket(), s3_server.access(s3_proxy.url))
    copy(here, target, CopyOptions())
    s3_proxy.behave()
    assert _counts(copy(here, target, CopyOptions())) == (0, 20, 0, 0)
    assert s3_proxy.count("GET|HEAD|PUT", r"seg_") == 0
    assert len(s3_proxy.requests) < 5


def test_buckets_that_name_objects_by_their_hash_need_no_record(s3_server: S3Server, bucket: Store) -> None:
    other = Store(s3_server.new_bucket(), s3_server.access())
    _fill(bucket)
    copy(bucket, other, CopyOptions(record=False))
    assert _counts(copy(bucket, other, CopyOptions(record=False))) == (0, 5, 0, 0)


def test_buckets_that_keep_versions_are_recognised_from_their_listing(
    here: Store, there: Store, s3_server: S3Server
) -> None:
    url = s3_server.new_bucket()
    s3_server.client().put_bucket_versioning(
        Bucket=url.removeprefix("s3://"), VersioningConfiguration={"Status": "Enabled"}
    )
    bucket = Store(url, s3_server.access())
    _corpus(here)
    for copied, same in ((8, 0), (0, 8)):
        assert _counts(copy(here, bucket, CopyOptions())) == (copied, same, copied, 0)
        assert _counts(copy(bucket, there, CopyOptions())) == (copied, same, copied, 0)


def test_what_changed_is_copied_and_what_was_only_touched_is_not(here: Store, there: Store) -> None:
    _fill(here)
    copy(here, there, CopyOptions())
    here.put("zad/video_seg_0.npz", b"x" * 2000)
    here.put("zad/video_seg_1.npz", b"shorter")
    here.put("zad/video_seg_2.npz", here.get("zad/video_seg_2.npz"))
    here.put("zad/video_seg_9.npz", b"new")
    assert _counts(copy(here, there, CopyOptions())) == (3, 3, 4, 0)
    assert _content(here) == _content(there)
    assert _counts(copy(here, there, CopyOptions())) == (0, 6, 0, 0)


def test_what_lay_at_the_destination_already_is_compared_not_copied(here: Store, bucket: Store) -> None:
    _fill(here)
    _fill(bucket, 3)
    bucket.put("zad/video_seg_3.npz", b"y" * 2000)
    assert _counts(copy(here, bucket, CopyOptions())) == (2, 3, 5, 0)
    assert _content(here) == _content(bucket)


def test_verify_finds_what_no_listing_shows(here: Store, there: Store) -> None:
    _fill(here)
    copy(here, there, CopyOptions())
    path = there._path("zad/video_seg_3.npz")
    times = path.stat()
    with path.open("r+b") as file:
        file.write(b"rot")
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert copy(here, there, CopyOptions()).copied == 0
    assert _counts(copy(here, there, CopyOptions(verify=True))) == (1, 4, 5, 0)
    assert _content(here) == _content(there)


def test_a_record_of_another_source_does_not_hide_a_difference(tmp_path: Path, here: Store, there: Store) -> None:
    _fill(here)
    copy(here, there, CopyOptions())
    other = _local(tmp_path / "other")
    _fill(other)
    other.put("zad/video_seg_0.npz", b"z" * 2000)
    assert _counts(copy(other, there, CopyOptions())) == (1, 4, 5, 0)
    assert _content(other) == _content(there)


def test_large_objects_pass_through_a_file(
    here: Store, bucket: Store, there: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(copying, "WHOLE_BYTES", 1000)
    _fill(here, size=300_000)
    (tmp_path / "scratch").mkdir()
    scratch = Scratch(tmp_path / "scratch", 700_000, "a test allows that")
    assert _counts(copy(here, bucket, CopyOptions(), scratch)) == (5, 0, 5, 0)
    assert _counts(copy(bucket, there, CopyOptions(jobs=2))) == (5, 0, 5, 0)
    assert _content(here) == _content(there)
    assert [path.name for path in (tmp_path / "scratch").iterdir() if path.is_dir()] == []
    here.put("zad/larger", b"l" * 800_000)
    failure = copy(here, bucket, CopyOptions(), scratch).failures[0]
    assert "a test allows that" in failure.reason


# --- globs, deletion, dry runs


def test_globs_choose_keys(here: Store, there: Store) -> None:
    _fill(here)
    _fill(here, folder="atheer")
    here.put("zad/notes.txt", b"n")
    copy(here, there, CopyOptions(include=("zad/*",), exclude=("*.txt", "*_0.npz")))
    assert sorted(_content(there)) == [f"zad/video_seg_{number}.npz" for number in (1, 2, 3, 4)]


def test_delete_removes_what_the_source_has_not_and_nothing_that_is_excluded(here: Store, there: Store) -> None:
    _fill(here)
    for key in ("old/a.npz", "old/b.txt"):
        there.put(key, b"old")
    copy(here, there, CopyOptions())
    assert "old/a.npz" in _content(there)
    assert copy(here, there, CopyOptions(delete=True, exclude=("*.txt",))).deleted == 1
    assert sorted(_content(there)) == sorted([*_content(here), "old/b.txt"])
    assert copy(here, there, CopyOptions(delete=True)).deleted == 1
    assert copy(here, there, CopyOptions(delete=True)).copied == 0


def test_delete_refuses_to_empty_the_destination(here: Store, there: Store) -> None:
    _fill(there)
    with pytest.raises(ValueError, match="would empty the destination"):
        copy(here, there, CopyOptions(delete=True))
    assert len(_content(there)) == 5


def test_a_plan_does_nothing(here: Store, there: Store) -> None:
    _fill(here)
    there.put("zad/video_seg_0.npz", b"x")
    there.put("old", b"x")
    plan = plan_copy(here, there, CopyOptions(delete=True))[0]
    assert plan.counts() == {"new": 4, "replace": 1, "compare": 0, "same": 0}
    assert plan.deletions == ("old",)
    assert sorted(_content(there)) == ["old", "zad/video_seg_0.npz"]


def test_nothing_is_mirrored_into_itself(here: Store, tmp_path: Path) -> None:
    inner = _local(tmp_path / "here" / "inner")
    for source, target in ((here, here), (here, inner), (inner, here)):
        with pytest.raises(ValueError, match="lie in each other"):
            copy(source, target, CopyOptions())


# --- commit records


def _corpus(store: Store, mark: bytes = b"1") -> None:
    for number in range(3):
        store.put(f"segments/zad/batch-0001/v_seg_{number}.npz", mark + bytes([number]) * 500)
    store.put("segments/zad/batch-0001/_manifest.parquet", b"manifest " + mark)
    store.put("datasets/voice/data/zad/batch-0001.train.parquet", b"rows " + mark)
    store.put("datasets/voice/manifests/zad/batch-0001.parquet", b"rows' manifest " + mark)
    store.put("datasets/voice/dataset.json", b"dataset " + mark)
    store.put("batches/zad/batch-0001.json", b"batch " + mark)


def test_commit_records_come_after_what_they_list(here: Store, s3_server: S3Server, s3_proxy: FaultyProxy) -> None:
    _corpus(here)
    copy(here, Store(s3_server.new_bucket(), s3_server.access(s3_proxy.url)), CopyOptions(record=False))
    order = [item.path.split("/", 2)[2] for item in s3_proxy.requests if item.method == "PUT"]
    assert set(order[:4]) == {key for key in _content(here) if key.endswith((".npz", "train.parquet"))}
    assert set(order[4:6]) == {
        "segments/zad/batch-0001/_manifest.parquet", "datasets/voice/manifests/zad/batch-0001.parquet",
    }  # fmt: skip
    assert order[6:] == ["datasets/voice/dataset.json", "batches/zad/batch-0001.json"]


def test_a_manifest_is_held_back_while_a_file_of_it_failed(
    here: Store, s3_server: S3Server, s3_proxy: FaultyProxy
) -> None:
    _corpus(here)
    target = Store(s3_server.new_bucket(), s3_server.access(s3_proxy.url))
    s3_proxy.answer(403, "AccessDenied", times=0, method="PUT", path="v_seg_1")
    report = copy(here, target, CopyOptions())
    assert [failure.key for failure in report.failures] == [
        "segments/zad/batch-0001/v_seg_1.npz", "segments/zad/batch-0001/_manifest.parquet",
    ]  # fmt: skip
    assert "held back" in report.failures[1].reason
    assert "datasets/voice/dataset.json" in _content(target)
    s3_proxy.behave()
    assert _counts(copy(here, target, CopyOptions())) == (2, 6, 2, 0)
    assert _content(here) == _content(target)


def test_a_manifest_that_is_out_of_date_is_gone_before_its_files_change(
    here: Store, s3_server: S3Server, s3_proxy: FaultyProxy
) -> None:
    target = Store(s3_server.new_bucket(), s3_server.access(s3_proxy.url))
    _corpus(here)
    copy(here, target, CopyOptions(record=False))
    s3_proxy.behave()
    _corpus(here, b"2")
    copy(here, target, CopyOptions(record=False))
    changes = [item for item in s3_proxy.requests if item.method == "PUT" or "?delete" in item.path]
    first_file = next(index for index, item in enumerate(changes) if item.method == "PUT")
    assert first_file == 3  # the two manifests and dataset.json
    assert "v_seg" in changes[first_file].path or "train.parquet" in changes[first_file].path
    assert _content(here) == _content(target)


def test_a_manifest_that_is_rewritten_meanwhile_waits_for_the_next_copy(here: Store, there: Store) -> None:
    _corpus(here)

    class Building(Store):
        def get(self, key: str) -> bytes:
            if key.endswith("v_seg_1.npz"):
                self.put("segments/zad/batch-0001/_manifest.parquet", b"manifest of files that were not listed")
            return super().get(key)

    report = copy(Building(here.url, create=True), there, CopyOptions())
    assert [failure.key for failure in report.failures] == ["segments/zad/batch-0001/_manifest.parquet"]
    assert "copy again" in report.failures[0].reason
    assert _counts(copy(here, there, CopyOptions())) == (1, 7, 1, 0)
    assert _content(here) == _content(there)


# --- failure


def test_what_fails_for_one_object_is_told_and_a_second_run_repairs_it(
    here: Store, s3_server: S3Server, s3_proxy: FaultyProxy
) -> None:
    _fill(here, 20)
    target = Store(s3_server.new_bucket(), s3_server.access(s3_proxy.url))
    s3_proxy.answer(403, "AccessDenied", times=0, method="PUT", path=r"_seg_7\.npz")
    target.put("old", b"old")
    report = copy(here, target, CopyOptions(delete=True))
    assert [(failure.key, "access denied" in failure.reason) for failure in report.failures] == [
        ("zad/video_seg_7.npz", True)
    ]
    assert (report.copied, report.deleted, report.deletions_put_off) == (19, 0, 1)
    s3_proxy.behave()
    assert _counts(copy(here, target, CopyOptions(delete=True))) == (1, 19, 1, 0)
    assert _content(here) == _content(target)


def test_a_copy_for_which_nothing_works_gives_up(here: Store, s3_server: S3Server, s3_proxy: FaultyProxy) -> None:
    _fill(here, 300, size=10)
    target = Store(s3_server.new_bucket(), s3_server.access(s3_proxy.url))
    s3_proxy.answer(403, "AccessDenied", times=0, method="PUT")
    with pytest.raises(StoreError, match="100 objects failed one after another"):
        copy(here, target, CopyOptions())
    assert s3_proxy.count("PUT") < 250


def test_bodies_that_are_cut_short_never_arrive(bucket: Store, there: Store, s3_proxy: FaultyProxy) -> None:
    _fill(bucket, 10, size=50_000)
    source = Store(bucket.url, replace(bucket.access, endpoint_url=s3_proxy.url))
    s3_proxy.cut(20_000, times=6, path="_seg_")
    assert _counts(copy(source, there, CopyOptions())) == (10, 0, 10, 0)
    assert _content(bucket) == _content(there)


def test_an_object_that_is_replaced_while_it_is_copied_is_copied_again_next_time(here: Store, there: Store) -> None:
    _fill(here)

    class Restless(Store):
        def get(self, key: str) -> bytes:
            if key.endswith("_seg_2.npz"):
                self.put(key, b"longer than it was in the listing" * 100)
            return super().get(key)

    restless = Restless(here.url, create=True)
    assert _counts(copy(restless, there, CopyOptions())) == (5, 0, 5, 0)
    assert _content(here) == _content(there)


def test_names_that_cannot_be_are_told(here: Store, there: Store) -> None:
    _fill(here)
    folder = os.fsencode(here.local_root)  # type: ignore[arg-type]
    with open(folder + b"/zad/\xff.npz", "wb"):  # no text in any encoding that a key has
        pass
    report = copy(here, there, CopyOptions())
    assert report.copied == 5
    assert ["rename it at the source" in failure.reason for failure in report.failures] == [True]


def test_empty_objects_that_stand_for_folders_are_no_failure(s3_server: S3Server, there: Store) -> None:
    url = s3_server.new_bucket()
    for key, body in (("stage1/", b""), ("stage1/zad/", b""), ("stage1/zad/a", b"1"), ("stage1/zad/empty", b"")):
        s3_server.client().put_object(Bucket=url.removeprefix("s3://"), Key=key, Body=body)
    for source in (Store(url, s3_server.access()), Store(f"{url}/stage1", s3_server.access())):
        report = copy(source, there, CopyOptions())
        assert (report.copied, report.folder_marks, report.failures) == (2, 2, [])


def test_a_key_that_the_destination_cannot_hold_is_told(bucket: Store, there: Store) -> None:
    _fill(bucket)
    bucket.put("zad/" + "n" * 300 + ".npz", b"too long for a file name")
    bucket.put("both", b"a file")
    bucket.put("both/inside", b"and a folder")
    report = copy(bucket, there, CopyOptions())
    assert len(report.failures) == 2
    assert report.copied == 6


_PROGRAM = """
import sys
from voice_core import copy_record
from voice_core.copying import copy
from voice_core.copy_plan import CopyOptions
from voice_core.store import Store
copy_record._FLUSH_SEC = 0.0
copy(Store(sys.argv[1]), Store(sys.argv[2], create=True), CopyOptions(jobs=2))
"""


def test_a_copy_that_is_killed_goes_on_where_it_was(here: Store, there: Store) -> None:
    _fill(here, 400, size=20_000)

    def start() -> subprocess.Popen[bytes]:
        return subprocess.Popen([sys.executable, "-c", _PROGRAM, here.url, there.url])

    for least in (20, 120, 250):
        process = start()
        while process.poll() is None and _count(there) < least:
            pass
        process.send_signal(signal.SIGKILL)
        process.wait()
        for key, data in _content(there).items():
            if not key.endswith(".part"):
                assert data == here.get(key)
    done = _count(there)
    report = copy(here, there, CopyOptions())
    assert report.copied <= 400 - done + 2
    assert report.bodies_read <= report.copied + 20  # of what the last killed run had not noted yet
    assert _content(here) == _content(there)
    assert len(list(there.listing(FOLDER))) == 1


def _count(store: Store) -> int:
    assert store.local_root is not None
    return sum(name.endswith(".npz") for _, _, names in os.walk(store.local_root) for name in names)


def test_what_did_not_arrive_as_it_was_sent_is_removed_and_told(here: Store, there: Store) -> None:
    class Careless(Store):
        def put(self, key: str, data: bytes, **conditions: object) -> ObjectInfo:
            return super().put(key, data.replace(b"good", b"evil"))

    here.put("a", b"all good")
    here.put("b", b"fine")
    report = copy(here, Careless(there.url), CopyOptions(record=False))
    assert [failure.key for failure in report.failures] == ["a"]
    assert "not what was sent" in report.failures[0].reason
    assert _content(there) == {"b": b"fine"}
