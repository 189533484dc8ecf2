"""The nightly schedule over a small corpus: which runs a tick requests, and that they bring everything up to date."""

import shutil
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

import dagster as dg
import pytest

from resources.corpus import CorpusResource
from voice_assets.build import compute_status
from voice_assets.definitions import build_definitions
from voice_assets.run_queries import RANGE_END, RANGE_START, find_busy_assets
from voice_assets_tests.core.corpus.small_corpus import Corpus
from voice_assets_tests.dagster_home import DAGSTER_YAML
from voice_core.settings import Settings

KEYS = [f"news/batch-{number:04d}" for number in (1, 2)]
JOBS = {
    ("raw_audio", "segments"): "ingest_batch",
    ("coded_segments",): "encode_batch",
    ("dataset_splits",): "assign_splits",
    ("voice_dataset", "voice_pairs"): "write_rows",
    ("dataset_card",): "finish_dataset",
}
INGEST = (["raw_audio", "segments"], KEYS)


class Nights:
    """Ticks of the schedule, and the runs that they request."""

    def __init__(self, corpus: Corpus, instance: dg.DagsterInstance) -> None:
        self.corpus, self.instance = corpus, instance
        self.defs = build_definitions(Settings.load())
        self.skip_message = ""

    def tick(self) -> Sequence[dg.RunRequest]:
        """A tick of the schedule, the run that it requests, and a tick of the sensor."""
        repository = self.defs.get_repository_def()
        with dg.build_schedule_context(
            instance=self.instance, repository_def=repository, scheduled_execution_time=datetime.now(UTC)
        ) as context:
            asked = self.defs.resolve_schedule_def("nightly").evaluate_tick(context)
        self.skip_message = asked.skip_message or ""
        if not asked.run_requests:
            return ()
        planned = self.defs.resolve_job_def("plan_nightly").execute_in_process(instance=self.instance)
        sensor = self.defs.resolve_sensor_def("nightly_runs")
        with dg.build_run_status_sensor_context(
            sensor_name=sensor.name,
            dagster_instance=self.instance,
            dagster_run=planned.dagster_run,
            dagster_event=planned.get_run_success_event(),
            repository_def=repository,
        ) as status_context:
            result = sensor(status_context)
        if isinstance(result, dg.SkipReason):
            self.skip_message = result.skip_message or ""
            return ()
        assert isinstance(result, dg.SensorResult)
        return result.run_requests or ()

    def launch(self, request: dg.RunRequest) -> tuple[list[str], list[str]]:
        """Run what a request asks for; the assets and the batches."""
        assets = [key.to_user_string() for key in request.asset_selection or ()]
        batches = [request.partition_key] if request.partition_key else []
        if RANGE_START in request.tags:
            batches = KEYS[KEYS.index(request.tags[RANGE_START]) : KEYS.index(request.tags[RANGE_END]) + 1]
        job = next(job for names, job in JOBS.items() if set(assets) <= set(names))
        assert request.job_name == job
        ranges = {name: value for name, value in request.tags.items() if name in (RANGE_START, RANGE_END)}
        self.defs.resolve_job_def(job).execute_in_process(
            instance=self.instance,
            partition_key=request.partition_key,
            asset_selection=request.asset_selection,
            tags=ranges,
            raise_on_error=False,
        )
        return assets, batches

    def run_night(self) -> list[tuple[list[str], list[str]]]:
        return [self.launch(request) for request in self.tick()]


@pytest.fixture
def nights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Nights]:
    corpus = Corpus(tmp_path)
    for name in "ab":
        corpus.add_recording(name, 4.0)
    variables = {"RAW_URL": corpus.settings.raw_url, "WORK_URL": corpus.settings.work_url}
    variables |= {"CODEC": "none", "WORKERS": "1", "BATCH__MAX_RECORDINGS": "1"}
    for name, value in variables.items():
        monkeypatch.setenv(f"VOICE_{name}", value)
    (tmp_path / "home").mkdir()
    shutil.copy(DAGSTER_YAML, tmp_path / "home")
    with dg.DagsterInstance.from_config(str(tmp_path / "home")) as instance:
        yield Nights(corpus, instance)


def test_the_requested_runs_bring_everything_up_to_date(nights: Nights) -> None:
    assert nights.run_night() == [INGEST]
    requested: list[tuple[list[str], list[str]]] = []
    while night := nights.run_night():
        requested += night
        assert len(requested) < 8
    assert (["dataset_splits"], []) in requested
    assert (["voice_dataset", "voice_pairs"], KEYS) in requested
    assert requested[-1] == (["dataset_card"], [])
    assert "nothing is stale" in nights.skip_message
    assert compute_status(Settings.load())[1].finished


def test_what_depends_on_a_batch_that_fails_is_not_requested(nights: Nights) -> None:
    in_the_way = nights.corpus.work_dir / "segments" / KEYS[1] / "b_seg_0.npz"
    in_the_way.mkdir(parents=True)
    assert nights.run_night() == [INGEST]
    night = nights.run_night()
    assert (["segments"], KEYS[1:]) in night
    assert ["dataset_splits"] not in [assets for assets, _ in night]


def test_a_batch_in_a_run_is_not_requested(nights: Nights) -> None:
    tags = {"dagster/partition": KEYS[0]}
    run = dg.DagsterRun(job_name="ingest_batch", status=dg.DagsterRunStatus.STARTED, tags=tags)
    nights.tick()
    nights.instance.add_run(run)
    assert [request.partition_key for request in nights.tick()] == KEYS[1:]


@pytest.mark.parametrize("job", ["build_stale", "bring_up_to_date", "plan_nightly"])
def test_nothing_is_requested_while_the_job_that_builds_everything_or_the_last_plan_runs(
    job: str, nights: Nights
) -> None:
    nights.instance.add_run(dg.DagsterRun(job_name=job, status=dg.DagsterRunStatus.STARTED))
    assert not nights.tick()
    assert f"{job} has not finished" in nights.skip_message


def test_a_tick_of_the_schedule_lists_nothing(nights: Nights, monkeypatch: pytest.MonkeyPatch) -> None:
    """Dagster ends a tick after 60 s; a large bucket takes longer to list."""

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a tick opened the store")

    monkeypatch.setattr(CorpusResource, "raw", refuse)
    monkeypatch.setattr("voice_assets.build.open_raw", refuse)
    monkeypatch.setattr("voice_assets.build.open_work", refuse)
    context = dg.build_schedule_context(instance=nights.instance, scheduled_execution_time=datetime.now(UTC))
    (request,) = nights.defs.resolve_schedule_def("nightly").evaluate_tick(context).run_requests or ()
    assert request.asset_selection is None
    assert nights.defs.resolve_schedule_def("nightly").job_name == "plan_nightly"


def test_a_whole_dataset_asset_in_a_run_of_its_job_is_not_requested(nights: Nights) -> None:
    """A run of a whole job has no selection of assets."""
    nights.run_night()
    assert "dataset_splits" in requested_assets(nights)
    for job in ("assign_splits", "deal_splits"):
        run = nights.instance.add_run(dg.DagsterRun(job_name=job, status=dg.DagsterRunStatus.STARTING))
        assert "dataset_splits" not in requested_assets(nights)
        nights.instance.delete_run(run.run_id)
    assert "dataset_splits" in requested_assets(nights)


def requested_assets(nights: Nights) -> set[str]:
    return {key.to_user_string() for request in nights.tick() for key in request.asset_selection or ()}


def test_the_assets_of_runs_in_progress_are_found_by_selection_and_by_job() -> None:
    jobs = {"assign_splits": "dataset_splits", "deal_splits": "dataset_splits", "finish_dataset": "dataset_card"}
    assets = ["dataset_splits", "dataset_card"]
    with dg.DagsterInstance.ephemeral() as instance:

        def add(job: str, status: dg.DagsterRunStatus, *selected: str) -> None:
            keys = frozenset(map(dg.AssetKey, selected)) or None
            instance.add_run(dg.DagsterRun(job_name=job, status=status, asset_selection=keys))

        add("assign_splits", dg.DagsterRunStatus.SUCCESS)
        add("finish_dataset", dg.DagsterRunStatus.FAILURE)
        add("write_rows", dg.DagsterRunStatus.STARTED)
        assert find_busy_assets(instance, assets, jobs) == set()
        add("deal_splits", dg.DagsterRunStatus.STARTING)
        assert find_busy_assets(instance, assets, jobs) == {"dataset_splits"}
        add("__ASSET_JOB", dg.DagsterRunStatus.STARTED, "dataset_card", "voice_pairs")
        assert find_busy_assets(instance, assets, jobs) == {"dataset_splits", "dataset_card"}
        assert find_busy_assets(instance, ["dataset_card"], jobs) == {"dataset_card"}


def test_a_run_of_a_job_with_a_selection_builds_only_the_selection() -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        keys = frozenset([dg.AssetKey("dataset_card")])
        instance.add_run(
            dg.DagsterRun(job_name="assign_splits", status=dg.DagsterRunStatus.STARTED, asset_selection=keys)
        )
        assert find_busy_assets(instance, ["dataset_splits"], {"assign_splits": "dataset_splits"}) == set()
