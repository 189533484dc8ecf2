"""A real Dagster daemon and webserver over a small corpus, with all sensors on.

"Materialize all" is in test_materialize_all.py, and by the daemon in `make soak`.
"""

from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from voice_assets.failures import is_resolved, read_failed_runs
from voice_assets_tests.assets.daemon_fixture import DagsterServer, run_dagster_dev
from voice_assets_tests.core.corpus.small_corpus import Corpus
from voice_assets_tests.dagster_home import variables_without_codec

pytestmark = pytest.mark.slow

KEYS = [f"news/batch-{number:04d}" for number in range(1, 4)]
CHAIN = ["raw_audio", "segments", "coded_segments"]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    made = Corpus(tmp_path_factory.mktemp("daemon"))
    for name in "abc":
        made.add_recording(name, 4.0)
    in_the_way(made).mkdir(parents=True)
    return made


def in_the_way(corpus: Corpus) -> Path:
    """A folder where a segment of the second batch must be: it cannot be cut, and others can look at what there is."""
    return corpus.work_dir / "segments" / KEYS[1] / "b_seg_0.npz"


def add_recording_at_once(corpus: Corpus, folder: Path, audio_id: str) -> None:
    """Add a recording of which the sensor sees nothing before it is whole, and has its transcript."""
    staged = Corpus(folder)
    staged.add_recording(audio_id, 4.0)
    for path in (Corpus.transcript_path, Corpus.audio_path):
        path(staged, audio_id).rename(path(corpus, audio_id))


@pytest.fixture(scope="module")
def dagster_server(corpus: Corpus, tmp_path_factory: pytest.TempPathFactory) -> Iterator[DagsterServer]:
    variables = {
        **variables_without_codec(corpus),
        "AUTOMATION__ENABLED": "true",
        "AUTOMATION__SENSOR_INTERVAL_SEC": "5",
    }
    with run_dagster_dev(tmp_path_factory.mktemp("room"), variables) as opened:
        yield opened


@pytest.fixture
def instance(dagster_server: DagsterServer) -> Iterator[dg.DagsterInstance]:
    with dagster_server.instance as opened:
        yield opened


def built(instance: dg.DagsterInstance, asset: str = "coded_segments") -> list[str]:
    return sorted(instance.get_materialized_partitions(dg.AssetKey(asset)))


def built_at(instance: dg.DagsterInstance, asset: str) -> float:
    """When a partition of it was built last, in Unix time."""
    event = instance.get_latest_materialization_event(dg.AssetKey(asset))
    assert event is not None
    return event.timestamp


def test_the_sensor_builds_new_batches_together_and_what_failed_is_in_the_run_history(
    dagster_server: DagsterServer, instance: dg.DagsterInstance, corpus: Corpus
) -> None:
    dagster_server.wait("the healthy batches are encoded", lambda: built(instance) == [KEYS[0], KEYS[2]])
    (run,) = instance.get_runs(dg.RunsFilter(job_name="ingest_batch"))
    assert run.tags["dagster/asset_partition_range_start"] == KEYS[0]
    assert run.tags["dagster/asset_partition_range_end"] == KEYS[2]
    dagster_server.wait("the run has failed", lambda: read_failed_runs(instance, corpus.settings))
    (record,) = read_failed_runs(instance, corpus.settings)
    (trouble,) = record.failures
    assert (trouble.asset, trouble.partition) == ("segments", KEYS[1])
    assert trouble.error.startswith("put file://")
    assert record.retry == f"voice build --partition {KEYS[1]}"
    assert record.host
    dagster_server.wait(
        "a tick has nothing to ask for",
        lambda: any(tick["skipReason"] for tick in dagster_server.ticks("new_recordings")),
    )
    assert "3 recordings in 3 batches" in next(
        t["skipReason"] for t in dagster_server.ticks("new_recordings") if t["skipReason"]
    )


def test_a_backfill_from_the_ui_builds_what_failed_and_resolves_the_failure(
    dagster_server: DagsterServer, instance: dg.DagsterInstance, corpus: Corpus
) -> None:
    in_the_way(corpus).rmdir()
    backfill = dagster_server.backfill(CHAIN, KEYS)
    dagster_server.wait("the backfill ends", lambda: dagster_server.backfill_status(backfill).startswith("COMPLETED"))
    assert dagster_server.backfill_status(backfill) == "COMPLETED_SUCCESS"
    assert built(instance) == KEYS
    runs = instance.get_runs(dg.RunsFilter(tags={"dagster/backfill": backfill}))
    assert len(runs) == 2  # one that cuts all batches, one that encodes them
    (record,) = read_failed_runs(instance, corpus.settings)
    assert is_resolved(instance, record, record.failures[0])


def test_later_stages_are_built_automatically(dagster_server: DagsterServer, instance: dg.DagsterInstance) -> None:
    dagster_server.wait("the rows are written", lambda: built(instance, "voice_pairs") == KEYS)
    dagster_server.wait(
        "the card is written", lambda: instance.get_latest_materialization_event(dg.AssetKey("dataset_card"))
    )


def test_a_recording_that_comes_later_is_built_without_the_others(
    dagster_server: DagsterServer, instance: dg.DagsterInstance, corpus: Corpus, tmp_path: Path
) -> None:
    before = len(instance.fetch_materializations(dg.AssetKey("segments"), limit=1000).records)
    add_recording_at_once(corpus, tmp_path, "d")
    dagster_server.wait("it is built", lambda: built(instance) == [*KEYS, "news/batch-0004"])
    assert len(instance.fetch_materializations(dg.AssetKey("segments"), limit=1000).records) == before + 1
    dagster_server.wait("its rows are written", lambda: "news/batch-0004" in built(instance, "voice_pairs"))
    dagster_server.wait(
        "the card is written again", lambda: built_at(instance, "dataset_card") > built_at(instance, "voice_pairs")
    )


def test_what_a_planning_run_finds_is_requested_by_the_sensor(
    dagster_server: DagsterServer, instance: dg.DagsterInstance, corpus: Corpus
) -> None:
    segment = corpus.work_dir / "segments" / KEYS[0] / "a_seg_0.npz"
    segment.unlink()  # no other sensor looks at it
    planned = dagster_server.launch("plan_nightly")
    dagster_server.wait("the segment is cut again", segment.exists)
    (run,) = instance.get_runs(dg.RunsFilter(tags={"voice/command": "nightly", "dagster/sensor_name": "nightly_runs"}))
    assert (run.job_name, run.tags["dagster/partition"]) == ("ingest_batch", KEYS[0])
    assert run.asset_selection == {dg.AssetKey("segments")}
    record = instance.get_run_by_id(planned)
    assert record is not None
    assert record.is_success
