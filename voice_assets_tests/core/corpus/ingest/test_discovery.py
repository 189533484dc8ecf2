"""Discoveries at once, on listings that lag behind, with no time, and with trouble at single recordings."""

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import pytest

from voice_assets_tests.core.corpus.small_corpus import World
from voice_core.corpus.ingest import batches, discovery
from voice_core.corpus.ingest.batches import Recording, parse_batch
from voice_core.layout import BATCHES, PartitionKey
from voice_core.storage.store import ObjectInfo, Store, StoreError


@pytest.fixture
def world(tmp_path: Path) -> World:
    made = World(tmp_path)
    made.set(batch={"max_recordings": 3})
    return made


def members(work: Store) -> dict[str, list[str]]:
    return {str(batch.partition): [item.audio_id for item in batch.recordings] for batch in batches.read_batches(work)}


class Lagging(Store):
    """A work root whose listings do not show the newest batches."""

    hidden: frozenset[str] = frozenset()

    def listing(self, prefix: str = "") -> Iterator[ObjectInfo]:
        return (item for item in super().listing(prefix) if item.key not in self.hidden)


class Refusing(Store):
    """A raw bucket that will not show one recording."""

    refused = ""

    def head(self, key: str) -> ObjectInfo | None:
        if key == self.refused:
            raise StoreError(f"head {self.url}/{key}: access denied")
        return super().head(key)

    def open(self, key: str) -> IO[bytes]:
        if key == self.refused:
            raise StoreError(f"get {self.url}/{key}: access denied")
        return super().open(key)


def test_discoveries_at_once_assign_every_recording_once(world: World) -> None:
    for number in range(10):
        world.record(f"r{number}", 1.0)
    found: list[int] = []
    errors: list[BaseException] = []

    def one() -> None:
        try:
            found.append(world.discover().new)
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
    everybody = [name for names in members(world.work).values() for name in names]
    assert sorted(everybody) == [f"r{number}" for number in range(10)]


@pytest.mark.parametrize("number", [1, 2, 3])
def test_a_batch_that_a_listing_hides_is_neither_overwritten_nor_assigned_again(world: World, number: int) -> None:
    for name in "abcdefgh":
        world.record(name, 1.0)
    world.discover()
    before = members(world.work)
    lagging = Lagging(world.settings.work_url)
    lagging.hidden = frozenset({f"{BATCHES}{PartitionKey('news', number)}.json"})
    world.record("i", 1.0)
    found = discovery.discover(world.raw, lagging, world.settings)
    assert found.new == 1
    assert members(world.work) == {**before, "news/batch-0003": ["g", "h", "i"]}


def test_what_there_is_no_time_for_waits_and_the_batches_end_up_the_same(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in "abcdefg":
        world.record(name, 1.0)
    world.discover()
    at_once = members(world.work)
    for path in (world.work_dir / "batches").rglob("*.json"):
        path.unlink()
    monkeypatch.setattr(discovery, "_GROUP", 2)
    seen = []
    while True:
        found = discovery.discover(world.raw, world.work, world.settings, budget_sec=0)
        seen.append((found.new, len(found.waiting), sorted(map(str, found.filling()))))
        if not found.waiting:
            break
    assert [new for new, _, _ in seen] == [2, 2, 2, 1]
    assert seen[0] == (2, 5, ["news/batch-0001"])
    assert seen[2] == (2, 1, [])
    assert members(world.work) == at_once


def test_a_batch_that_grew_while_it_was_looked_at_keeps_its_new_recording(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.record("a", 1.0)
    world.discover()
    real, grown = batches._look_at, []

    def meanwhile(*arguments: object) -> dict[Recording, Recording]:
        if not grown:
            world.record("b", 1.0)
            grown.append(world.discover())
        return real(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(batches, "_look_at", meanwhile)
    batch = batches.snapshot(world.raw, world.work, PartitionKey("news", 1), world.settings)
    assert [item.audio_id for item in batch.recordings] == ["a", "b"]
    assert all(item.audio for item in batch.recordings)
    assert batches.read_batch(world.work, batch.partition) == batch


def test_a_recording_that_the_store_will_not_show_is_in_trouble_alone_and_looked_at_again(world: World) -> None:
    for name in "ab":
        world.record(name, 1.0)
    (before,) = world.snapshot()
    refusing = Refusing(world.settings.raw_url)
    refusing.refused = "news/a.wav"
    batch = batches.snapshot(refusing, world.work, PartitionKey("news", 1), world.settings)
    assert "access denied" in batch.recordings[0].trouble
    assert (batch.recordings[0].audio, batch.recordings[1]) == (before.recordings[0].audio, before.recordings[1])
    assert parse_batch(Store("memory://"), batch.partition, batch.to_bytes()) == batch
    (change,) = world.discover().changes.values()
    assert (change.troubled, change.new, change.changed) == (1, 0, 0)
    assert world.snapshot() == [before]
    assert world.discover().changes == {}


def test_a_bucket_that_is_out_of_reach_is_no_trouble_of_its_recordings(world: World) -> None:
    world.record("a", 1.0)
    world.discover()

    class Gone(Refusing):
        refused = "news/a.wav"

        def listing(self, prefix: str = "") -> Iterator[ObjectInfo]:
            raise StoreError("list: no such bucket")

    with pytest.raises(StoreError, match="no such bucket"):
        batches.snapshot(Gone(world.settings.raw_url), world.work, PartitionKey("news", 1), world.settings)


def test_what_is_new_changed_and_vanished_is_counted_by_batch(world: World) -> None:
    lines = world.record("a", 2.0)
    world.record("b", 2.0)
    assert [vars_of(item) for item in world.discover().changes.values()] == [(2, 0, 0)]
    world.snapshot()
    world.transcribe("a", lines[:0])
    world.audio_path("b").unlink()
    world.record("c", 2.0)
    found = world.discover()
    assert [vars_of(item) for item in found.changes.values()] == [(1, 1, 1)]


def vars_of(change: discovery.Change) -> tuple[int, int, int]:
    return change.new, change.changed, change.vanished
