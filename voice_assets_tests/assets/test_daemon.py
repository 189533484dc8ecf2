"""A real Dagster daemon and webserver over a small corpus, with all sensors on."""

from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from voice_assets.failures import read_records, resolved
from voice_assets_tests.assets.daemon_fixture import ControlRoom, open_control_room
from voice_assets_tests.core.corpus.small_corpus import World

KEYS = [f"news/batch-{number:04d}" for number in range(1, 4)]
CHAIN = ["raw_audio", "segments", "coded_segments"]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    made = World(tmp_path_factory.mktemp("daemon"))
    for name in "abc":
        made.record(name, 4.0)
    in_the_way(made).mkdir(parents=True)
    return made


def in_the_way(world: World) -> Path:
    """A folder where a segment of the second batch must be: it cannot be cut, and others can look at what there is."""
    return world.work_dir / "segments" / KEYS[1] / "b_seg_0.npz"


@pytest.fixture(scope="module")
def room(world: World, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlRoom]:
    variables = {
        "RAW_URL": world.settings.raw_url,
        "WORK_URL": world.settings.work_url,
        "CODEC": "none",
        "WORKERS": "1",
        "BATCH__MAX_RECORDINGS": "1",
        "AUTOMATION__ENABLED": "true",
        "AUTOMATION__SENSOR_INTERVAL_SEC": "5",
    }
    with open_control_room(tmp_path_factory.mktemp("room"), variables) as opened:
        yield opened


@pytest.fixture
def instance(room: ControlRoom) -> Iterator[dg.DagsterInstance]:
    with room.instance as opened:
        yield opened


def built(instance: dg.DagsterInstance, asset: str = "coded_segments") -> list[str]:
    return sorted(instance.get_materialized_partitions(dg.AssetKey(asset)))


def test_the_sensor_builds_new_batches_together_and_what_failed_is_on_record(
    room: ControlRoom, instance: dg.DagsterInstance, world: World
) -> None:
    room.wait("the healthy batches are encoded", lambda: built(instance) == [KEYS[0], KEYS[2]])
    (run,) = instance.get_runs(dg.RunsFilter(job_name="ingest_batch"))
    assert run.tags["dagster/asset_partition_range_start"] == KEYS[0]
    assert run.tags["dagster/asset_partition_range_end"] == KEYS[2]
    room.wait("the failure is written down", lambda: read_records(room.home))
    (record,) = read_records(room.home)
    (trouble,) = record.troubles
    assert (trouble.asset, trouble.partition) == ("segments", KEYS[1])
    assert trouble.error.startswith("StoreError")
    assert record.retry == f"voice build --partition {KEYS[1]}"
    assert record.host
    room.wait("a tick has nothing to ask for", lambda: any(tick["skipReason"] for tick in room.ticks("new_recordings")))
    assert "3 recordings in 3 batches" in next(t["skipReason"] for t in room.ticks("new_recordings") if t["skipReason"])


def test_a_backfill_from_the_ui_builds_what_failed_and_the_record_says_so(
    room: ControlRoom, instance: dg.DagsterInstance, world: World
) -> None:
    in_the_way(world).rmdir()
    backfill = room.backfill(CHAIN, KEYS)
    room.wait("the backfill ends", lambda: room.backfill_status(backfill).startswith("COMPLETED"))
    assert room.backfill_status(backfill) == "COMPLETED_SUCCESS"
    assert built(instance) == KEYS
    runs = instance.get_runs(dg.RunsFilter(tags={"dagster/backfill": backfill}))
    assert len(runs) == 2  # one that cuts all batches, one that encodes them
    (record,) = read_records(room.home)
    assert resolved(instance, record, record.troubles[0])


def test_what_follows_is_built_by_itself(room: ControlRoom, instance: dg.DagsterInstance) -> None:
    room.wait("the rows are written", lambda: built(instance, "voice_pairs") == KEYS)
    room.wait("the card is written", lambda: instance.get_latest_materialization_event(dg.AssetKey("dataset_card")))


def test_a_recording_that_comes_later_is_built_without_the_others(
    room: ControlRoom, instance: dg.DagsterInstance, world: World
) -> None:
    before = len(instance.fetch_materializations(dg.AssetKey("segments"), limit=1000).records)
    world.record("d", 4.0)
    room.wait("it is built", lambda: built(instance) == [*KEYS, "news/batch-0004"])
    assert len(instance.fetch_materializations(dg.AssetKey("segments"), limit=1000).records) == before + 1
    room.wait("its rows are written", lambda: "news/batch-0004" in built(instance, "voice_pairs"))
