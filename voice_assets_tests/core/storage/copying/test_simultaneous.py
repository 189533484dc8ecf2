"""Two copies into one store at once: nothing is lost, and each ends well or says what to do."""

from pathlib import Path

import pytest

from voice_assets_tests.core.storage.copying.stores import content, counts, fill
from voice_assets_tests.soak.rounds.two_writers import copy_twice
from voice_core.storage import copy_store
from voice_core.storage.config import Access
from voice_core.storage.copy_plan import CopyOptions
from voice_core.storage.copy_record import FOLDER
from voice_core.storage.copy_store import copy
from voice_core.storage.store import Store


def test_two_processes_copy_the_same_store(tmp_path: Path) -> None:
    urls = [(tmp_path / name).as_uri() for name in ("source", "target")]
    assert copy_twice(*urls, Access(), objects=100, seed=0) == []


@pytest.mark.parametrize("whole_bytes", [copy_store.WHOLE_BYTES, 1000])
def test_an_object_that_another_copy_replaced_meanwhile_is_not_removed(
    here: Store, there: Store, whole_bytes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(copy_store, "WHOLE_BYTES", whole_bytes)
    fill(here)
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
                there.put(key, newer)

    report = copy(here, Shared(there.url, create=True), CopyOptions())
    assert [failure.key for failure in report.failures] == [key]
    assert report.failures[0].reason.endswith("another process replaced it; copy again")
    assert there.get(key) == newer
    assert copy(here, there, CopyOptions()).failures == []
    assert content(here) == content(there)


def test_a_record_that_another_copy_merges_meanwhile_costs_no_more_than_a_comparison(here: Store, there: Store) -> None:
    fill(here)
    copy(here, there, CopyOptions())

    class Merging(Store):
        """Another copy removes the parts of the record between listing and reading."""

        def get(self, key: str) -> bytes:
            if key.startswith(FOLDER):
                self.delete([key])
            return super().get(key)

    assert counts(copy(here, Merging(there.url, create=True), CopyOptions())) == (0, 5, 5, 0)
    assert content(here) == content(there)
