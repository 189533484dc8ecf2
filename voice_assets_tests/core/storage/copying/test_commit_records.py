"""Commit records are copied after the objects that they list."""

from voice_assets_tests.core.storage.copying.copy_helpers import read_objects, report_counts, write_corpus
from voice_assets_tests.servers.faulty_proxy import FaultyProxy
from voice_assets_tests.servers.s3 import S3Server
from voice_core.storage.copy_plan import CopyOptions
from voice_core.storage.copy_store import copy
from voice_core.storage.store import Store


def test_commit_records_come_after_what_they_list(
    source_store: Store, s3_server: S3Server, s3_proxy: FaultyProxy
) -> None:
    write_corpus(source_store)
    copy(source_store, Store(s3_server.new_bucket(), s3_server.access(s3_proxy.url)), CopyOptions(record=False))
    order = [item.path.split("/", 2)[2] for item in s3_proxy.requests if item.method == "PUT"]
    assert set(order[:4]) == {key for key in read_objects(source_store) if key.endswith((".npz", "train.parquet"))}
    assert set(order[4:6]) == {
        "segments/zad/batch-0001/_manifest.parquet", "datasets/voice/manifests/zad/batch-0001.parquet",
    }  # fmt: skip
    assert order[6:] == ["datasets/voice/dataset.json", "batches/zad/batch-0001.json"]


def test_a_manifest_is_not_copied_if_one_of_its_files_failed(
    source_store: Store, s3_server: S3Server, s3_proxy: FaultyProxy
) -> None:
    write_corpus(source_store)
    target = Store(s3_server.new_bucket(), s3_server.access(s3_proxy.url))
    s3_proxy.answer(403, "AccessDenied", times=0, method="PUT", path="v_seg_1")
    report = copy(source_store, target, CopyOptions())
    assert [failure.key for failure in report.failures] == [
        "segments/zad/batch-0001/v_seg_1.npz", "segments/zad/batch-0001/_manifest.parquet",
    ]  # fmt: skip
    assert "objects that it lists failed" in report.failures[1].reason
    assert "datasets/voice/dataset.json" in read_objects(target)
    s3_proxy.clear_faults()
    assert report_counts(copy(source_store, target, CopyOptions())) == (2, 6, 2, 0)
    assert read_objects(source_store) == read_objects(target)


def test_an_outdated_manifest_is_removed_before_its_files_change(
    source_store: Store, s3_server: S3Server, s3_proxy: FaultyProxy
) -> None:
    target = Store(s3_server.new_bucket(), s3_server.access(s3_proxy.url))
    write_corpus(source_store)
    copy(source_store, target, CopyOptions(record=False))
    s3_proxy.clear_faults()
    write_corpus(source_store, b"2")
    copy(source_store, target, CopyOptions(record=False))
    changes = [item for item in s3_proxy.requests if item.method == "PUT" or "?delete" in item.path]
    first_file = next(index for index, item in enumerate(changes) if item.method == "PUT")
    assert first_file == 3  # the two manifests and dataset.json
    assert "v_seg" in changes[first_file].path or "train.parquet" in changes[first_file].path
    assert read_objects(source_store) == read_objects(target)


def test_a_manifest_that_is_replaced_meanwhile_is_left_for_the_next_copy(
    source_store: Store, target_store: Store
) -> None:
    write_corpus(source_store)

    class Building(Store):
        def get(self, key: str) -> bytes:
            if key.endswith("v_seg_1.npz"):
                self.put("segments/zad/batch-0001/_manifest.parquet", b"manifest of files that were not listed")
            return super().get(key)

    report = copy(Building(source_store.url, create=True), target_store, CopyOptions())
    assert [failure.key for failure in report.failures] == ["segments/zad/batch-0001/_manifest.parquet"]
    assert "copy again" in report.failures[0].reason
    assert report_counts(copy(source_store, target_store, CopyOptions())) == (1, 7, 1, 0)
    assert read_objects(source_store) == read_objects(target_store)
