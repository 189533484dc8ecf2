"""The nightly and weekly schedules, the jobs they request, and failures in the run history."""

from collections.abc import Sequence

import dagster as dg
import pytest

from resources.corpus import CorpusResource
from voice_assets.definitions import build_definitions, defs
from voice_assets.failures import AssetFailure, _redact, is_resolved, read_failed_runs
from voice_assets.run_queries import RANGE_END, RANGE_START
from voice_assets_tests.assets.conftest import BuiltCorpus
from voice_core.settings import AutomationSettings, S3Settings, Settings
from voice_core.stages.integrity import read_audit_report
from voice_core.storage.store import Store

STEPS = {
    ("raw_audio", "segments"): "ingest_batch",
    ("coded_segments",): "encode_batch",
    ("dataset_splits",): "assign_splits",
    ("voice_dataset", "voice_pairs"): "write_rows",
    ("dataset_card",): "finish_dataset",
}


def run(built_corpus: BuiltCorpus, job: str) -> dg.ExecuteInProcessResult:
    resources = {"corpus": CorpusResource()}
    return defs.resolve_job_def(job).execute_in_process(
        instance=built_corpus.instance, resources=resources, raise_on_error=False
    )


def failure(result: dg.ExecuteInProcessResult) -> dg.DagsterEvent:
    (event,) = [event for event in result.all_events if event.is_step_failure]
    return event


def tick(built_corpus: BuiltCorpus, name: str = "nightly") -> Sequence[dg.RunRequest]:
    """The requests of a tick of a schedule."""
    with dg.build_schedule_context(
        instance=built_corpus.instance,
        resources={"corpus": CorpusResource()},
        repository_def=defs.get_repository_def(),
    ) as context:
        return defs.resolve_schedule_def(name).evaluate_tick(context).run_requests or ()


def launch(built_corpus: BuiltCorpus, request: dg.RunRequest) -> None:
    """Run what a request asks for."""
    assets = [key.to_user_string() for key in request.asset_selection or ()]
    job = next(job for names, job in STEPS.items() if set(assets) <= set(names))
    result = defs.resolve_job_def(job).execute_in_process(
        instance=built_corpus.instance,
        partition_key=request.partition_key,
        asset_selection=request.asset_selection,
        tags=request.tags,
    )
    assert result.success


@pytest.mark.parametrize("name", ["build_stale", "bring_up_to_date"])
def test_the_job_builds_what_is_stale_and_nothing_else_under_both_its_names(
    name: str, built_corpus: BuiltCorpus
) -> None:
    built_corpus.edit_transcript("Atheer_-/atheer_0003.json", lambda lines: lines[1].update(text="Another line."))
    assert run(built_corpus, name).success
    assert built_corpus.build().materialised == 0


def test_the_nightly_schedule_requests_runs_for_what_is_stale_until_all_is_current(built_corpus: BuiltCorpus) -> None:
    assert tick(built_corpus) == ()
    built_corpus.edit_transcript("Atheer_-/atheer_0003.json", lambda lines: lines[1].update(text="Another line."))
    requested: list[list[str]] = []
    while requests := tick(built_corpus):
        assert len(requested) < 10
        for request in requests:
            assert request.partition_key in (None, "Atheer_-/batch-0001")
            assert RANGE_START not in request.tags
            requested.append([key.to_user_string() for key in request.asset_selection or ()])
            launch(built_corpus, request)
    assert ["raw_audio", "segments"] in requested
    assert requested[-1] == ["dataset_card"]
    assert built_corpus.build().materialised == 0


def test_after_changed_settings_the_nightly_schedule_requests_ranges_of_batches(built_corpus: BuiltCorpus) -> None:
    built_corpus.monkeypatch.setenv("VOICE_CODEC", "none")
    ranges = [(item.tags.get(RANGE_START), item.tags.get(RANGE_END)) for item in tick(built_corpus)]
    singles = [item.partition_key for item in tick(built_corpus)]
    assert any(first is not None for first, _ in ranges) or any(singles)
    batch = dg.DagsterRun(
        job_name="write_rows",
        run_id="2" * 8,
        status=dg.DagsterRunStatus.STARTED,
        tags={"dagster/partition": "Atheer_-/batch-0001"},
    )
    built_corpus.instance.add_run(batch)
    for request in tick(built_corpus):
        assert "Atheer_-/batch-0001" not in (request.partition_key, request.tags.get(RANGE_START))


def test_the_audit_passes_over_what_is_whole_and_names_what_is_not(built_corpus: BuiltCorpus) -> None:
    assert run(built_corpus, "audit_files").success
    work = Store(built_corpus.settings().work_url)
    report = read_audit_report(work)
    assert report is not None
    assert report.files > 0
    assert report.ended
    paths = sorted((built_corpus.work / "segments").rglob("*.npz"))
    paths[0].unlink()
    paths[1].write_bytes(paths[1].read_bytes()[:-1] + b"?")
    keys = [path.relative_to(built_corpus.work).as_posix() for path in paths[:2]]
    event = failure(run(built_corpus, "audit_files"))
    told = event.step_failure_data.user_failure_data.description  # type: ignore[union-attr]
    assert told is not None
    assert f"{keys[0]} is missing" in told
    assert f"{keys[1]} is not what was committed" in told
    assert "voice build --verify --partition" in told


@pytest.mark.parametrize(("schedule", "job"), [("nightly", "build_stale"), ("weekly_audit", "audit_files")])
def test_a_schedule_skips_while_the_run_of_its_job_has_not_finished(
    schedule: str, job: str, built_corpus: BuiltCorpus
) -> None:
    built_corpus.edit_transcript("Atheer_-/atheer_0003.json", lambda lines: lines[1].update(text="Another line."))
    assert tick(built_corpus, schedule)
    built_corpus.instance.add_run(dg.DagsterRun(job_name=job, run_id="1" * 8, status=dg.DagsterRunStatus.STARTED))
    with dg.build_schedule_context(
        instance=built_corpus.instance,
        resources={"corpus": CorpusResource()},
        repository_def=defs.get_repository_def(),
    ) as context:
        result = defs.resolve_schedule_def(schedule).evaluate_tick(context)
    assert not result.run_requests
    assert "has not finished" in (result.skip_message or "")


@pytest.mark.parametrize("enabled", [True, False])
def test_everything_is_off_unless_it_was_enabled(enabled: bool) -> None:
    made = build_definitions(Settings(automation=AutomationSettings(enabled=enabled)))  # type: ignore[call-arg]
    for sensor in made.sensors or ():
        assert (sensor.default_status is dg.DefaultSensorStatus.RUNNING) is enabled
    for schedule in made.schedules or ():
        assert (schedule.default_status is dg.DefaultScheduleStatus.RUNNING) is enabled  # type: ignore[union-attr]


def test_a_failure_is_shown_without_secrets(built_corpus: BuiltCorpus, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "a-token-of-mine")
    settings = Settings(s3=S3Settings(secret_access_key="very-secret"))  # type: ignore[call-arg,arg-type]
    error = "StoreError: very-secret at https://u:p@host/x?X-Amz-Signature=1 with a-token-of-mine\n" + "more\n" * 50
    cleaned = _redact(AssetFailure("segments", "news/batch-0001", error), settings).error
    assert "very-secret" not in cleaned
    assert "a-token-of-mine" not in cleaned
    assert "u:p@" not in cleaned
    assert "Signature=1" not in cleaned
    assert len(cleaned.splitlines()) == 6


def test_a_failed_run_names_the_asset_that_it_did_not_build(built_corpus: BuiltCorpus) -> None:
    partition = "Atheer_-/batch-0001"
    built_corpus.edit_transcript("Atheer_-/atheer_0003.json", lambda lines: lines[1].update(text="Another line."))
    folder = built_corpus.work / "segments" / partition
    folder.rename(folder.with_name("aside"))
    folder.write_text("in the way")
    result = defs.resolve_job_def("ingest_batch").execute_in_process(
        instance=built_corpus.instance, partition_key=partition, raise_on_error=False
    )
    assert not result.success
    (failed,) = read_failed_runs(built_corpus.instance, built_corpus.settings())
    (error,) = failed.failures
    assert failed.run_id == result.run_id
    assert failed.retry == f"voice build --partition {partition}"
    assert (error.asset, error.partition) == ("segments", partition)
    assert "StoreError" in error.error
    assert not is_resolved(built_corpus.instance, failed, error)
    folder.unlink()
    folder.with_name("aside").rename(folder)
    assert not built_corpus.build().failures
    assert is_resolved(built_corpus.instance, failed, error)


def test_a_run_that_failed_outside_of_a_step_has_its_message(built_corpus: BuiltCorpus) -> None:
    instance = built_corpus.instance
    run = instance.add_run(dg.DagsterRun(job_name="ingest_batch", status=dg.DagsterRunStatus.STARTED))
    instance.report_run_failed(run, "the process was killed")
    (failed,) = read_failed_runs(instance, built_corpus.settings())
    assert failed.failures == (AssetFailure("", "", "the process was killed"),)
