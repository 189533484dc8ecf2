"""The weekly audit, the job that builds what is stale, and failures in the run history."""

import dagster as dg
import pytest

from resources.corpus import CorpusResource
from voice_assets.definitions import build_definitions, defs
from voice_assets.failures import AssetFailure, _redact, is_resolved, read_failed_runs
from voice_assets_tests.assets.conftest import BuiltCorpus
from voice_core.settings import AutomationSettings, S3Settings, Settings
from voice_core.stages.integrity import read_audit_report
from voice_core.storage.store import Store


def run(built_corpus: BuiltCorpus, job: str) -> dg.ExecuteInProcessResult:
    resources = {"corpus": CorpusResource()}
    return defs.resolve_job_def(job).execute_in_process(
        instance=built_corpus.instance, resources=resources, raise_on_error=False
    )


def failure(result: dg.ExecuteInProcessResult) -> dg.DagsterEvent:
    (event,) = [event for event in result.all_events if event.is_step_failure]
    return event


@pytest.mark.parametrize("name", ["build_stale", "bring_up_to_date"])
def test_the_job_builds_what_is_stale_and_nothing_else_under_both_its_names(
    name: str, built_corpus: BuiltCorpus
) -> None:
    built_corpus.edit_transcript("Atheer_-/atheer_0003.json", lambda lines: lines[1].update(text="Another line."))
    assert run(built_corpus, name).success
    assert built_corpus.build().materialised == 0


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


def test_the_audit_is_not_requested_while_its_last_run_has_not_finished(built_corpus: BuiltCorpus) -> None:
    schedule = defs.resolve_schedule_def("weekly_audit")
    assert schedule.evaluate_tick(dg.build_schedule_context(instance=built_corpus.instance)).run_requests
    built_corpus.instance.add_run(
        dg.DagsterRun(job_name="audit_files", run_id="1" * 8, status=dg.DagsterRunStatus.STARTED)
    )
    tick = schedule.evaluate_tick(dg.build_schedule_context(instance=built_corpus.instance))
    assert not tick.run_requests
    assert "has not finished" in (tick.skip_message or "")


@pytest.mark.parametrize("enabled", [True, False])
def test_everything_is_off_unless_it_was_enabled(enabled: bool) -> None:
    made = build_definitions(Settings(automation=AutomationSettings(enabled=enabled)))  # type: ignore[call-arg]
    for sensor in made.sensors or ():
        if sensor.name == "nightly_runs":  # does nothing before the schedule, or somebody, runs plan_nightly
            assert isinstance(sensor, dg.RunStatusSensorDefinition)
            continue
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
    assert error.error.startswith("get file://")
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


def test_a_failed_audit_is_resolved_by_an_audit_that_succeeds(built_corpus: BuiltCorpus) -> None:
    instance = built_corpus.instance
    path = next((built_corpus.work / "segments").rglob("*.npz"))
    data = path.read_bytes()
    path.unlink()
    assert not run(built_corpus, "audit_files").success
    (failed,) = read_failed_runs(instance, built_corpus.settings())
    (error,) = failed.failures
    assert error.asset == "read_committed_files"
    assert failed.retry.endswith("dg launch --job audit_files")
    instance.add_run(dg.DagsterRun(job_name="build_stale", status=dg.DagsterRunStatus.SUCCESS))
    assert not is_resolved(instance, failed, error)
    path.write_bytes(data)
    assert run(built_corpus, "audit_files").success
    assert is_resolved(instance, failed, error)


def test_a_killed_run_names_the_assets_that_it_did_not_build_and_a_build_resolves_it(
    built_corpus: BuiltCorpus,
) -> None:
    partition, instance = "Atheer_-/batch-0001", built_corpus.instance
    job = defs.resolve_job_def("ingest_batch")
    killed = instance.create_run_for_job(job, tags={"dagster/partition": partition}, status=dg.DagsterRunStatus.STARTED)
    instance.report_run_failed(killed, "the process was killed")
    (failed,) = read_failed_runs(instance, built_corpus.settings())
    assert failed.failures == (AssetFailure("raw_audio", partition, "the process was killed"),)
    assert failed.retry == f"voice build --partition {partition}"
    assert not is_resolved(instance, failed, failed.failures[0])
    assert job.execute_in_process(instance=instance, partition_key=partition).success
    assert is_resolved(instance, failed, failed.failures[0])
