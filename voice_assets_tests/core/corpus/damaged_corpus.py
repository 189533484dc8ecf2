"""A finished work root with every kind of state file in it, and status, build and audit as the commands run them."""

import shutil
from pathlib import Path

from voice_assets_tests.core.corpus.small_corpus import World
from voice_assets_tests.damage import Case, Commands
from voice_core.audit import audit
from voice_core.corpus.dataset import card_stage, pairs, rows_stage, splits
from voice_core.corpus.encode import encode_stage
from voice_core.corpus.forget.forget import forget
from voice_core.corpus.ingest.batches import list_partitions, snapshot
from voice_core.corpus.retention import evict
from voice_core.corpus.segment import segment_stage
from voice_core.corpus.status import Status
from voice_core.stages.evicted import repair_freed


def finished_world(folder: Path) -> World:
    """Two batches: of the first the segments were freed, and one recording was forgotten; the second holds a recording
    that vanished. There are pairs, and rows held out for test."""
    world = World(folder)
    world.set(batch={"max_recordings": 3}, split={"test_fraction": 0.2})
    for name in "abcdef":
        world.record(name, 4.0)
    world.build()
    forget(world.work, "b", when="2026-01-01", why="asked to")
    for path in (world.audio_path("e"), world.transcript_path("e")):
        path.unlink()
    build_stale(world)
    first = world.status().partitions[:1]
    for plan in evict.plan_clean(world.work, first, ["segments"], world.settings):
        assert not plan.refusal
        evict.free(world.work, plan, world.settings)
    assert world.status().finished
    return world


def build_stale(world: World) -> Status:
    """What `voice build` does: only what is not current, stage by stage."""
    work, settings = world.work, world.settings
    repair_freed(work)
    for item in world.status().partitions:
        if not item.raw_audio.settled:
            snapshot(world.raw, work, item.partition, settings)
        if not (item.raw_audio.settled and item.segments.settled):
            segment_stage.build_segments(world.raw, work, item.partition, settings)
    for item in world.status().partitions:
        if not item.coded.settled:
            encode_stage.build_codes(work, item.partition, world.codec, settings, supply=world.supply)
    if not world.status().splits.settled:
        splits.build_splits(work, world.sources(), settings)
    plan = splits.require_splits(work, settings)
    for item in world.status().partitions:
        if not item.dataset.settled:
            rows_stage.build_dataset(work, item.partition, plan, settings, supply=world.supply)
        if not (item.dataset.settled and item.pairs.settled):
            rows = rows_stage.require_dataset(work, item.partition, settings)
            pairs.build_pairs(work, rows, settings, supply=world.supply)
    if not world.status().card.settled:
        card_stage.build_card(work, list_partitions(work), settings)
    status = world.status()
    assert status.finished, status
    return status


def commands(world: World) -> Commands:
    return Commands(
        status=world.status,
        build=lambda: build_stale(world),
        audit=lambda: audit(world.work, world.settings).wrong,
    )


def allowed(case: Case) -> tuple[bool, tuple[str, ...]]:
    """Whether the commands may end in an error that names the file, and which files may differ afterwards.

    - What was forgotten is not guessed.
    - The manifest that alone lists the segments of a recording that vanished cannot be made again.
    - What the raw bucket said of a recording that vanished is not known any more.
    - What is encoded again needs its segments back; so does what no record says was freed.
    """
    key, gone = case.key, case.how == "deleted"
    if key.startswith("tombstones/"):
        return True, ("",) if gone else ()
    if key == "segments/news/batch-0002/_manifest.parquet":
        return True, ()
    if key.startswith("batches/news/batch-0002"):
        return False, ("batches/news/batch-0002",)
    if key.startswith("segments/news/batch-0002/e_"):
        return False, ("segments/news/batch-0002/e_", "freed/segments/news/batch-0002")
    freed = ("freed/segments/news/batch-0001", "segments/news/batch-0001/")
    again = key.startswith(("coded/news/batch-0001/", "segments/news/batch-0001/"))
    return False, freed if again or (gone and key.startswith("freed/")) else ()


class Snapshot:
    """A work root to go back to."""

    def __init__(self, world: World) -> None:
        self._work = world.work_dir
        self._copy = self._work.with_name("work before")
        shutil.copytree(self._work, self._copy)

    def restore(self) -> None:
        shutil.rmtree(self._work)
        shutil.copytree(self._copy, self._work)
