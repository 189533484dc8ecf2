"""Runs over many batches: each batch stands for itself, and a failed one costs only itself."""

from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from voice_assets.definitions import build_definitions
from voice_assets.defs.voice_dataset.partitions import CHANNEL_BATCH
from voice_assets.failures import FAILED_BATCHES
from voice_assets_tests.core.corpus.small_corpus import Corpus
from voice_assets_tests.dagster_home import create_dagster_home
from voice_core.corpus.manifest import read_complete_manifest
from voice_core.corpus.names import SEGMENTS
from voice_core.fingerprint import sha256
from voice_core.layout import PartitionKey
from voice_core.settings import Settings
from voice_core.stages.checks import CheckOutcome

KEYS = [f"news/batch-{number:04d}" for number in range(1, 5)]
CHAIN = ("raw_audio", "segments", "coded_segments")
JOBS = ("ingest_batch", "encode_batch")


class MultiPartitionCorpus:
    """Four batches of one recording each, and a Dagster instance that knows them."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.corpus = Corpus(folder)
        for name in "abcd":
            self.corpus.add_recording(name, 4.0)
        self.corpus.set(batch={"max_recordings": 1}, codec="none")
        for name, value in {
            "RAW_URL": self.corpus.settings.raw_url,
            "WORK_URL": self.corpus.settings.work_url,
            "CODEC": "none",
            "WORKERS": "1",
            "BATCH__MAX_RECORDINGS": "1",
        }.items():
            monkeypatch.setenv(f"VOICE_{name}", value)
        home = create_dagster_home(folder / "home", with_databases=True)
        monkeypatch.setenv("DAGSTER_HOME", str(home))
        self.instance = dg.DagsterInstance.from_config(str(home))
        self.defs = build_definitions(Settings.load())
        self.corpus.discover()
        self.instance.add_dynamic_partitions(CHANNEL_BATCH, KEYS)

    def run(self, job: str, first: str, last: str) -> dg.ExecuteInProcessResult:
        return self.defs.resolve_job_def(job).execute_in_process(
            instance=self.instance,
            tags={"dagster/asset_partition_range_start": first, "dagster/asset_partition_range_end": last},
            raise_on_error=False,
        )

    def latest_materializations(self, asset: str) -> dict[str, dg.AssetMaterialization]:
        """The latest materialisation of each batch."""
        found: dict[str, dg.AssetMaterialization] = {}
        for record in self.instance.fetch_materializations(dg.AssetKey(asset), limit=1000).records:
            event = record.asset_materialization
            assert event is not None
            assert event.partition is not None
            found.setdefault(event.partition, event)
        return found

    def block_segments(self, key: str) -> Path:
        """Put a file where the folder of a batch's segments must be."""
        path = self.corpus.work_dir / "segments" / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("in the way")
        return path


@pytest.fixture
def multi_partition(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> MultiPartitionCorpus:
    return MultiPartitionCorpus(tmp_path, monkeypatch)


def test_each_batch_of_a_run_gets_the_events_of_a_separate_run(multi_partition: MultiPartitionCorpus) -> None:
    for name in JOBS:
        assert multi_partition.run(name, KEYS[0], KEYS[2]).success
        alone = multi_partition.defs.resolve_job_def(name).execute_in_process(
            instance=multi_partition.instance, partition_key=KEYS[3]
        )
        assert alone.success
    for asset in CHAIN:
        made = multi_partition.latest_materializations(asset)
        assert sorted(made) == KEYS
        single, grouped = made[KEYS[3]], made[KEYS[0]]
        assert grouped.metadata.keys() == single.metadata.keys()
        assert (grouped.tags or {}).keys() >= {
            name for name in single.tags or {} if name.startswith(("dagster/data", "dagster/code", "dagster/input"))
        }
    for key in KEYS:
        manifest = read_complete_manifest(multi_partition.corpus.work, SEGMENTS, PartitionKey.parse(key))
        tags = multi_partition.latest_materializations("segments")[key].tags or {}
        assert tags["dagster/data_version"] == manifest.data_version
        version = (multi_partition.latest_materializations("raw_audio")[key].tags or {})["dagster/data_version"]
        assert tags["dagster/input_data_version/raw_audio"] == sha256(version.encode())


def test_the_checks_of_each_batch_of_a_run_are_recorded(multi_partition: MultiPartitionCorpus) -> None:
    result = multi_partition.run("ingest_batch", KEYS[0], KEYS[2])
    seen = [
        evaluation.metadata["batch"].value
        for evaluation in result.get_asset_check_evaluations()
        if evaluation.check_name == "seconds_add_up" and evaluation.asset_key == dg.AssetKey("segments")
    ]
    assert seen == KEYS[:3]


def test_a_failed_batch_does_not_stop_the_others_and_the_failed_run_names_it(
    multi_partition: MultiPartitionCorpus,
) -> None:
    in_the_way = multi_partition.block_segments(KEYS[1])
    result = multi_partition.run("ingest_batch", KEYS[0], KEYS[3])
    assert not result.success
    assert sorted(multi_partition.latest_materializations("segments")) == [KEYS[0], KEYS[2], KEYS[3]]
    assert KEYS[1] in multi_partition.latest_materializations("raw_audio")
    (failure,) = [event for event in result.all_events if event.is_step_failure]
    assert "1 of 4 batches failed" in failure.step_failure_data.user_failure_data.description  # type: ignore[union-attr]
    told = failure.step_failure_data.user_failure_data.metadata[FAILED_BATCHES].value  # type: ignore[union-attr]
    assert list(told) == [KEYS[1]]
    assert told[KEYS[1]].startswith("segments: get file://")
    in_the_way.unlink()
    assert multi_partition.run("ingest_batch", KEYS[0], KEYS[3]).success
    assert sorted(multi_partition.latest_materializations("segments")) == KEYS


def test_a_key_that_is_none_costs_only_itself(multi_partition: MultiPartitionCorpus) -> None:
    multi_partition.instance.add_dynamic_partitions(CHANNEL_BATCH, ["notes"])  # as in the UI
    result = multi_partition.run("ingest_batch", KEYS[0], "notes")
    (failure,) = [event for event in result.all_events if event.is_step_failure]
    told = failure.step_failure_data.user_failure_data.metadata[FAILED_BATCHES].value  # type: ignore[union-attr]
    assert list(told) == ["notes"]
    assert "'notes' is not a partition key" in told["notes"]
    assert sorted(multi_partition.latest_materializations("segments")) == KEYS


def test_a_run_that_encodes_builds_what_was_cut_and_names_what_was_not(multi_partition: MultiPartitionCorpus) -> None:
    multi_partition.block_segments(KEYS[1])
    multi_partition.run("ingest_batch", KEYS[0], KEYS[3])
    assert not multi_partition.run("encode_batch", KEYS[0], KEYS[3]).success
    assert sorted(multi_partition.latest_materializations("coded_segments")) == [KEYS[0], KEYS[2], KEYS[3]]


def test_nothing_is_built_on_a_batch_whose_blocking_check_failed(
    multi_partition: MultiPartitionCorpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    from voice_core.corpus import checks

    real = checks.texts_present

    def only_the_second(manifest: object) -> CheckOutcome:
        outcome = real(manifest)  # type: ignore[arg-type]
        bad = manifest.partition == KEYS[1]  # type: ignore[attr-defined]
        return CheckOutcome("texts_present", False, "line 3 is empty") if bad else outcome

    monkeypatch.setattr(checks, "texts_present", only_the_second)
    result = multi_partition.run("ingest_batch", KEYS[0], KEYS[3])
    assert not result.success
    assert KEYS[1] in multi_partition.latest_materializations("segments")
    result = multi_partition.run("encode_batch", KEYS[0], KEYS[3])
    (failure,) = [event for event in result.all_events if event.is_step_failure]
    told = failure.step_failure_data.user_failure_data.metadata[FAILED_BATCHES].value  # type: ignore[union-attr]
    assert told == {KEYS[1]: "coded_segments: its segments failed the check texts_present: line 3 is empty"}
    assert sorted(multi_partition.latest_materializations("coded_segments")) == [KEYS[0], KEYS[2], KEYS[3]]


def test_what_could_not_be_cut_is_not_requested_by_later_stages(multi_partition: MultiPartitionCorpus) -> None:
    def tick(cursor: Any) -> tuple[Any, dict[str, list[str | None]]]:
        result = dg.evaluate_automation_conditions(multi_partition.defs, multi_partition.instance, cursor=cursor)
        asked = {name: sorted(result.get_requested_partitions(dg.AssetKey(name)), key=str) for name in CHAIN}
        return result.cursor, {name: keys for name, keys in asked.items() if keys}

    cursor, _ = tick(None)
    multi_partition.block_segments(KEYS[1])
    multi_partition.run("ingest_batch", KEYS[0], KEYS[3])
    cursor, asked = tick(cursor)
    assert asked == {"coded_segments": [KEYS[0], KEYS[2], KEYS[3]]}
