"""Concurrent discoveries, outdated listings, an exhausted time budget, and recordings that cannot be read."""

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import pytest

from voice_assets_tests.core.corpus.small_corpus import Corpus
from voice_core.corpus.ingest import batches, discovery, snapshot
from voice_core.corpus.ingest.batch_model import Recording
from voice_core.corpus.ingest.batches import parse_batch
from voice_core.layout import BATCHES, PartitionKey
from voice_core.storage.store import ObjectInfo, Store, StoreError


@pytest.fixture
def corpus(tmp_path: Path) -> Corpus:
    made = Corpus(tmp_path)
    made.set(batch={"max_recordings": 3})
    return made


def members(work: Store) -> dict[str, list[str]]:
    return {str(batch.partition): [item.audio_id for item in batch.recordings] for batch in batches.read_batches(work)}


class Lagging(Store):
    """A work root whose listings omit the newest batches."""

    hidden: frozenset[str] = frozenset()

    def listing(self, prefix: str = "") -> Iterator[ObjectInfo]:
        return (item for item in super().listing(prefix) if item.key not in self.hidden)


class Refusing(Store):
    """A raw bucket that denies access to one recording."""

    refused = ""

    def head(self, key: str) -> ObjectInfo | None:
        if key == self.refused:
            raise StoreError(f"head {self.url}/{key}: access denied")
        return super().head(key)

    def open(self, key: str) -> IO[bytes]:
        if key == self.refused:
            raise StoreError(f"get {self.url}/{key}: access denied")
        return super().open(key)


def test_discoveries_at_once_assign_every_recording_once(corpus: Corpus) -> None:
    for number in range(10):
        corpus.add_recording(f"r{number}", 1.0)
    found: list[int] = []
    errors: list[BaseException] = []

    def one() -> None:
        try:
            found.append(corpus.discover().new)
        except BaseException as error:
            errors.append(error)
            raise

    threads = [threading.Thread(target=one) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    assert sum(found) == 10
    assigned = [name for names in members(corpus.work).values() for name in names]
    assert sorted(assigned) == [f"r{number}" for number in range(10)]


@pytest.mark.parametrize("number", [1, 2, 3])
def test_a_batch_that_a_listing_hides_is_neither_overwritten_nor_assigned_again(corpus: Corpus, number: int) -> None:
    for name in "abcdefgh":
        corpus.add_recording(name, 1.0)
    corpus.discover()
    before = members(corpus.work)
    lagging = Lagging(corpus.settings.work_url)
    lagging.hidden = frozenset({f"{BATCHES}{PartitionKey('news', number)}.json"})
    corpus.add_recording("i", 1.0)
    found = discovery.discover(corpus.raw, lagging, corpus.settings)
    assert found.new == 1
    assert members(corpus.work) == {**before, "news/batch-0003": ["g", "h", "i"]}


def test_recordings_left_out_by_the_time_budget_wait_and_the_batches_end_up_the_same(
    corpus: Corpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in "abcdefg":
        corpus.add_recording(name, 1.0)
    corpus.discover()
    at_once = members(corpus.work)
    for path in (corpus.work_dir / "batches").rglob("*.json"):
        path.unlink()
    monkeypatch.setattr(discovery, "_PROBE_CHUNK", 2)
    seen = []
    while True:
        found = discovery.discover(corpus.raw, corpus.work, corpus.settings, budget_sec=0)
        seen.append((found.new, len(found.pending), sorted(map(str, found.partitions_to_fill()))))
        if not found.pending:
            break
    assert [new for new, _, _ in seen] == [2, 2, 2, 1]
    assert seen[0] == (2, 5, ["news/batch-0001"])
    assert seen[2] == (2, 1, [])
    assert members(corpus.work) == at_once


def test_a_batch_that_grew_while_it_was_inspected_keeps_its_new_recording(
    corpus: Corpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    corpus.add_recording("a", 1.0)
    corpus.discover()
    real, grown = snapshot._inspect_recordings, []

    def meanwhile(*arguments: object) -> dict[Recording, Recording]:
        if not grown:
            corpus.add_recording("b", 1.0)
            grown.append(corpus.discover())
        return real(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(snapshot, "_inspect_recordings", meanwhile)
    batch = snapshot.snapshot_batch(corpus.raw, corpus.work, PartitionKey("news", 1), corpus.settings)
    assert [item.audio_id for item in batch.recordings] == ["a", "b"]
    assert all(item.audio for item in batch.recordings)
    assert batches.read_batch(corpus.work, batch.partition) == batch


def test_a_recording_that_the_store_denies_does_not_affect_others_and_is_inspected_again(corpus: Corpus) -> None:
    for name in "ab":
        corpus.add_recording(name, 1.0)
    (before,) = corpus.snapshot()
    refusing = Refusing(corpus.settings.raw_url)
    refusing.refused = "news/a.wav"
    batch = snapshot.snapshot_batch(refusing, corpus.work, PartitionKey("news", 1), corpus.settings)
    assert "access denied" in batch.recordings[0].trouble
    assert (batch.recordings[0].audio, batch.recordings[1]) == (before.recordings[0].audio, before.recordings[1])
    assert parse_batch(Store("memory://"), batch.partition, batch.to_bytes()) == batch
    (change,) = corpus.discover().batch_changes.values()
    assert (change.unreachable, change.new, change.changed) == (1, 0, 0)
    assert corpus.snapshot() == [before]
    assert corpus.discover().batch_changes == {}


def test_an_unreachable_bucket_is_an_error_and_not_a_problem_of_its_recordings(corpus: Corpus) -> None:
    corpus.add_recording("a", 1.0)
    corpus.discover()

    class Gone(Refusing):
        refused = "news/a.wav"

        def listing(self, prefix: str = "") -> Iterator[ObjectInfo]:
            raise StoreError("list: no such bucket")

    with pytest.raises(StoreError, match="no such bucket"):
        snapshot.snapshot_batch(Gone(corpus.settings.raw_url), corpus.work, PartitionKey("news", 1), corpus.settings)


def test_what_is_new_changed_and_vanished_is_counted_by_batch(corpus: Corpus) -> None:
    lines = corpus.add_recording("a", 2.0)
    corpus.add_recording("b", 2.0)
    assert [vars_of(item) for item in corpus.discover().batch_changes.values()] == [(2, 0, 0)]
    corpus.snapshot()
    corpus.write_transcript("a", lines[:0])
    corpus.audio_path("b").unlink()
    corpus.add_recording("c", 2.0)
    found = corpus.discover()
    assert [vars_of(item) for item in found.batch_changes.values()] == [(1, 1, 1)]


def vars_of(change: discovery.BatchChanges) -> tuple[int, int, int]:
    return change.new, change.changed, change.vanished
