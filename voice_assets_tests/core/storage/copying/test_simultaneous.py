"""Two simultaneous copies into one store: nothing is lost, and each succeeds or says what to do."""

from pathlib import Path

import pytest

from voice_assets_tests.core.storage.copying.copy_helpers import read_objects, report_counts, write_segments
from voice_assets_tests.soak.rounds.two_writers import copy_twice
from voice_core.storage import copy_store
from voice_core.storage.config import StoreConfig
from voice_core.storage.copy_plan import CopyOptions
from voice_core.storage.copy_record import COPY_RECORD_FOLDER
from voice_core.storage.copy_store import copy
from voice_core.storage.store import Store


def test_two_processes_copy_the_same_store(tmp_path: Path) -> None:
    urls = [(tmp_path / name).as_uri() for name in ("source", "target")]
    assert copy_twice(*urls, StoreConfig(), objects=100, seed=0) == []


@pytest.mark.parametrize("whole_bytes", [copy_store.MAX_IN_MEMORY_BYTES, 1000])
def test_an_object_that_another_copy_replaced_meanwhile_is_not_removed(
    source_store: Store, target_store: Store, whole_bytes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(copy_store, "MAX_IN_MEMORY_BYTES", whole_bytes)
    write_segments(source_store)
    key, newer = "zad/video_seg_2.npz", b"what the source holds since" * 100

    class Shared(Store):
        """Another copy puts a newer version of one object right before this one reads it back."""

        def get(self, key: str) -> bytes:
            self._replace(key)
            return super().get(key)

        def hash(self, key: str) -> str:
            self._replace(key)
            return super().hash(key)

        def _replace(self, asked: str) -> None:
            if asked == key:
                target_store.put(key, newer)

    report = copy(source_store, Shared(target_store.url, create=True), CopyOptions())
    assert [failure.key for failure in report.failures] == [key]
    assert report.failures[0].reason.endswith("another process replaced it; copy again")
    assert target_store.get(key) == newer
    assert copy(source_store, target_store, CopyOptions()).failures == []
    assert read_objects(source_store) == read_objects(target_store)


def test_a_record_that_another_copy_merges_meanwhile_leads_to_comparisons_only(
    source_store: Store, target_store: Store
) -> None:
    write_segments(source_store)
    copy(source_store, target_store, CopyOptions())

    class Merging(Store):
        """Another copy removes the parts of the record between listing and reading."""

        def get(self, key: str) -> bytes:
            if key.startswith(COPY_RECORD_FOLDER):
                self.delete([key])
            return super().get(key)

    assert report_counts(copy(source_store, Merging(target_store.url, create=True), CopyOptions())) == (0, 5, 5, 0)
    assert read_objects(source_store) == read_objects(target_store)
