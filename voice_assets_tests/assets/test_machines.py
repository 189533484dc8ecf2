"""A T4's and an H200's location in one workspace, each served by a process of its own, with everything switched on."""

import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import dagster as dg
import pytest

from voice_assets_tests.assets.daemon_fixture import DagsterServer, run_dagster_dev
from voice_assets_tests.assets.gpu_contention import MODULE, find_overlaps
from voice_assets_tests.assets.pretend_gpu import SECONDS, TIMELINE, read_timeline
from voice_assets_tests.core.corpus.small_corpus import Corpus
from voice_assets_tests.servers.process import free_port, run_server

pytestmark = pytest.mark.slow

WORKSPACE = Path(__file__).parents[2] / "workspace.machines.yaml"
LATER = ("coded_segments", "voice_dataset", "voice_pairs", "dataset_splits", "dataset_card")
KEYS = ["news/batch-0001", "talk/batch-0001"]


@pytest.fixture
def dagster_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[DagsterServer]:
    corpus = Corpus(tmp_path)
    corpus.add_recording("a", 8.0)
    corpus.add_recording("b", 8.0, channel="talk")
    variables = {
        "RAW_URL": str(corpus.raw_dir),
        "WORK_URL": str(corpus.work_dir),
        "GPU_LOCK_DIR": str(tmp_path / "locks"),
        "WORKERS": "1",
        "AUTOMATION__ENABLED": "true",
        "AUTOMATION__SENSOR_INTERVAL_SEC": "5",
    }
    others = {TIMELINE: str(tmp_path / "timeline.jsonl"), SECONDS: "0.2"}
    for name, value in {**{f"VOICE_{key}": value for key, value in variables.items()}, **others}.items():
        monkeypatch.setenv(name, value)
    text = WORKSPACE.read_text("utf-8")
    with ExitStack() as machines:
        for name in ("t4", "h200"):
            port = free_port()
            command = [sys.executable, "-m", "dagster", "api", "grpc", "-h", "127.0.0.1", "-p", str(port)]
            machines.enter_context(run_server([*command, "-m", MODULE, "-a", name], port, 300))
            before = f"host: {name}.internal\n      port: 4000"
            assert before in text
            text = text.replace(before, f"host: 127.0.0.1\n      port: {port}")
        workspace = tmp_path / "workspace.yaml"
        workspace.write_text(text, "utf-8")
        yield machines.enter_context(run_dagster_dev(tmp_path, variables, workspace=workspace))


def test_one_machine_cuts_the_other_encodes_and_writes_and_each_follows_the_other(
    dagster_server: DagsterServer, tmp_path: Path
) -> None:
    with dagster_server.instance as instance:
        pairs, card = dg.AssetKey("voice_pairs"), dg.AssetKey("dataset_card")
        dagster_server.wait("the rows are written", lambda: sorted(instance.get_materialized_partitions(pairs)) == KEYS)
        dagster_server.wait("the card is written", lambda: instance.get_latest_materialization_event(card))
        where = {name: location_of(instance, name) for name in ("segments", *LATER)}
        assert where == {"segments": {"t4"}, **{name: {"h200"} for name in LATER}}
        encoding = [run for run in instance.get_runs() if dg.AssetKey("coded_segments") in (run.asset_selection or ())]
        assert {pool for run in encoding for pool in pools_of(run)} == {"gpu_h200"}
    uses = read_timeline(tmp_path / "timeline.jsonl")
    assert sorted(use.purpose for use in uses) == [f"encoding {key}" for key in KEYS]
    assert find_overlaps([(use.begin, use.end) for use in uses]) == []
    for machine, own in (("t4", "new_recordings"), ("h200", "new_dialogues")):
        for sensor in (own, "automation_sensor"):
            ticks = replace(dagster_server, module=machine).ticks(sensor)
            assert ticks, f"{sensor} of {machine}"
            assert [tick["error"] for tick in ticks if tick["status"] == "FAILURE"] == []


def location_of(instance: dg.DagsterInstance, asset: str) -> set[str]:
    """Where the runs were that made it."""
    records = instance.fetch_materializations(dg.AssetKey(asset), limit=100).records
    runs = instance.get_runs(dg.RunsFilter(run_ids=[record.run_id for record in records]))
    return {run.tags["dagster/code_location"] for run in runs}


def pools_of(run: dg.DagsterRun) -> frozenset[str]:
    return frozenset((run.run_op_concurrency and run.run_op_concurrency.all_pools) or ())
