"""What the sensor asks for, tick by tick, on a real instance and a real folder of recordings."""

from pathlib import Path

import dagster as dg
import pytest

from resources.corpus import CorpusResource
from voice_assets.definitions import build_definitions
from voice_assets.defs.voice_dataset.partitions import CHANNEL_BATCH
from voice_assets.sensor_backoff import RunAttempt, filter_unresolved, select_due
from voice_assets_tests.core.corpus.small_corpus import Corpus
from voice_assets_tests.dagster_home import create_dagster_home
from voice_core.settings import Settings
from voice_core.storage.store import StoreError


class Ticking:
    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch, **variables: str) -> None:
        self.corpus = Corpus(folder)
        variables = {"BATCH__MAX_RECORDINGS": "1", "CODEC": "none", **variables}
        variables |= {"RAW_URL": self.corpus.settings.raw_url, "WORK_URL": self.corpus.settings.work_url}
        for name, value in variables.items():
            monkeypatch.setenv(f"VOICE_{name}", value)
        home = create_dagster_home(folder / "home", with_databases=True)
        self.instance = dg.DagsterInstance.from_config(str(home))
        self.sensor = build_definitions(Settings.load()).resolve_sensor_def("new_recordings")
        self.cursor: str | None = None

    def tick(self) -> list[tuple[str, ...]]:
        """The batches of each run that a tick asks for."""
        with dg.build_sensor_context(
            instance=self.instance, cursor=self.cursor, resources={"corpus": CorpusResource()}
        ) as context:
            result = self.sensor(context)
        assert isinstance(result, dg.SensorResult)
        self.cursor = result.cursor
        self.skip_message = str(result.skip_reason and result.skip_reason.skip_message)
        known = self.instance.get_dynamic_partitions(CHANNEL_BATCH)
        return [_batches(request, list(known)) for request in result.run_requests or ()]


def _batches(request: dg.RunRequest, known: list[str]) -> tuple[str, ...]:
    if request.partition_key:
        return (request.partition_key,)
    first = known.index(request.tags["dagster/asset_partition_range_start"])
    return tuple(known[first : known.index(request.tags["dagster/asset_partition_range_end"]) + 1])


def batch(*numbers: int) -> tuple[str, ...]:
    return tuple(f"news/batch-{number:04d}" for number in numbers)


def test_a_tick_requests_no_more_than_its_limit_and_the_next_one_continues(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    limits = {"AUTOMATION__MAX_RUNS_PER_TICK": "2", "AUTOMATION__PARTITIONS_PER_RUN": "2"}
    ticking = Ticking(tmp_path, monkeypatch, **limits)
    for number in range(5):
        ticking.corpus.add_recording(f"r{number}", 1.0)
    assert ticking.tick() == [batch(1, 2), batch(3, 4)]
    assert ticking.tick() == [batch(5)]
    assert ticking.tick() == []


def test_a_batch_is_requested_again_when_something_about_it_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ticking = Ticking(tmp_path, monkeypatch)
    lines = ticking.corpus.add_recording("a", 4.0)
    ticking.corpus.add_recording("b", 4.0)
    assert ticking.tick() == [batch(1, 2)]
    assert ticking.tick() == []
    ticking.corpus.write_transcript("a", lines[:1])
    assert ticking.tick() == [batch(1)]
    ticking.corpus.snapshot()
    ticking.corpus.audio_path("b").unlink()
    assert ticking.tick() == [batch(2)]
    ticking.tick()
    assert "1 vanished" in ticking.skip_message


def test_a_batch_in_a_run_is_not_requested(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ticking = Ticking(tmp_path, monkeypatch)
    for name in "abc":
        ticking.corpus.add_recording(name, 1.0)
    ticking.instance.add_dynamic_partitions(CHANNEL_BATCH, batch(1, 2, 3))
    tags = {"dagster/asset_partition_range_start": batch(1)[0], "dagster/asset_partition_range_end": batch(2)[0]}
    ticking.instance.add_run(
        dg.DagsterRun(job_name="ingest_batch", run_id="1" * 8, status=dg.DagsterRunStatus.STARTED, tags=tags)
    )
    assert ticking.tick() == [batch(3)]


def test_a_batch_of_dialogues_with_the_same_key_does_not_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ticking = Ticking(tmp_path, monkeypatch)
    for name in "ab":
        ticking.corpus.add_recording(name, 1.0)
    spoken = {
        "by_job": dg.DagsterRun(job_name="speak_dialogues", tags={"dagster/partition": batch(1)[0]}),
        "by_assets": dg.DagsterRun(
            job_name="__ASSET_JOB",
            asset_selection=frozenset({dg.AssetKey("dialogues")}),
            tags={"dagster/asset_partition_range_start": batch(2)[0], "dagster/asset_partition_range_end": batch(2)[0]},
        ),
    }
    for run in spoken.values():
        ticking.instance.add_run(run.with_status(dg.DagsterRunStatus.STARTED))
    assert ticking.tick() == [batch(1, 2)]


def test_a_bucket_that_cannot_be_listed_fails_the_tick(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ticking = Ticking(tmp_path, monkeypatch)
    ticking.corpus.raw_dir.rmdir()
    with pytest.raises(StoreError, match="VOICE_RAW_URL"):
        ticking.tick()


def test_what_failed_is_requested_again_at_growing_intervals() -> None:
    asked = {"a": RunAttempt("x", 1000.0, 1)}
    assert select_due(asked, {}, (), 1000.0 + 899) == {}
    assert select_due(asked, {}, (), 1000.0 + 900) == {"a": RunAttempt("x", 1900.0, 2)}
    assert select_due({"a": RunAttempt("x", 0.0, 2)}, {}, (), 1799.0) == {}
    assert RunAttempt("x", 0.0, 30).retry_at == 24 * 3600


def test_what_was_built_since_or_has_changed_is_no_longer_pending() -> None:
    asked = {"built": RunAttempt("x", 10.0, 1), "failed": RunAttempt("x", 10.0, 1), "other": RunAttempt("x", 10.0, 3)}
    left = filter_unresolved(asked, {"other": "y"}, (), {"built": 11.0, "failed": 9.0})
    assert left == {"failed": RunAttempt("x", 10.0, 1)}
    assert select_due(left, {"other": "y"}, (), 20.0) == {"other": RunAttempt("y", 20.0, 1)}
