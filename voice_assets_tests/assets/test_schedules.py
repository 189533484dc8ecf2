"""The nightly build and the weekly audit, run as their schedules run them."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import dagster as dg
import pytest

from resources.corpus import CorpusResource
from voice_assets import failure_records
from voice_assets.definitions import build_definitions, defs
from voice_assets.failure_records import (
    FAILURES_FILE,
    AssetFailure,
    FailureRecord,
    _redact,
    build_failure_record,
    read_records,
    write_record,
)
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


def test_the_nightly_job_builds_what_is_not_current_and_nothing_else(built_corpus: BuiltCorpus) -> None:
    built_corpus.edit_transcript("Atheer_-/atheer_0003.json", lambda lines: lines[1].update(text="Another line."))
    assert run(built_corpus, "bring_up_to_date").success
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


def test_a_schedule_skips_while_its_last_run_is_at_work(built_corpus: BuiltCorpus) -> None:
    nightly = defs.resolve_schedule_def("nightly")
    assert nightly.evaluate_tick(dg.build_schedule_context(instance=built_corpus.instance)).run_requests
    built_corpus.instance.add_run(
        dg.DagsterRun(job_name="bring_up_to_date", run_id="1" * 8, status=dg.DagsterRunStatus.STARTED)
    )
    tick = nightly.evaluate_tick(dg.build_schedule_context(instance=built_corpus.instance))
    assert not tick.run_requests
    assert "still at work" in (tick.skip_message or "")


@pytest.mark.parametrize("enabled", [True, False])
def test_everything_is_off_unless_it_was_enabled(enabled: bool) -> None:
    made = build_definitions(Settings(automation=AutomationSettings(enabled=enabled)))  # type: ignore[call-arg]
    for sensor in made.sensors or ():
        assert (sensor.default_status is dg.DefaultSensorStatus.RUNNING) is enabled
    for schedule in made.schedules or ():
        assert (schedule.default_status is dg.DefaultScheduleStatus.RUNNING) is enabled  # type: ignore[union-attr]


def test_a_failure_is_written_down_without_secrets(built_corpus: BuiltCorpus, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "a-token-of-mine")
    settings = Settings(s3=S3Settings(secret_access_key="very-secret"))  # type: ignore[call-arg,arg-type]
    error = "StoreError: very-secret at https://u:p@host/x?X-Amz-Signature=1 with a-token-of-mine\n" + "more\n" * 50
    cleaned = _redact(AssetFailure("segments", "news/batch-0001", error), settings).error
    assert "very-secret" not in cleaned
    assert "a-token-of-mine" not in cleaned
    assert "u:p@" not in cleaned
    assert "Signature=1" not in cleaned
    assert len(cleaned.splitlines()) == 6


def test_a_failed_run_names_the_asset_that_it_did_not_come_to(built_corpus: BuiltCorpus, tmp_path: Path) -> None:
    partition = "Atheer_-/batch-0001"
    built_corpus.edit_transcript("Atheer_-/atheer_0003.json", lambda lines: lines[1].update(text="Another line."))
    folder = built_corpus.work / "segments" / partition
    folder.rename(folder.with_name("aside"))
    folder.write_text("in the way")
    result = defs.resolve_job_def("ingest_batch").execute_in_process(
        instance=built_corpus.instance, partition_key=partition, raise_on_error=False
    )
    assert not result.success
    run_failed = built_corpus.instance.get_run_by_id(result.run_id)
    assert run_failed is not None
    record = build_failure_record(built_corpus.instance, run_failed, [failure(result)], "", built_corpus.settings())
    (trouble,) = record.troubles
    assert (trouble.asset, trouble.partition) == ("segments", partition)
    assert "StoreError" in trouble.error
    write_record(tmp_path, record)
    write_record(tmp_path, record)
    assert read_records(tmp_path) == [record, record]


@pytest.mark.parametrize("keep", [5_000, 20])
def test_runs_that_fail_at_the_same_time_lose_no_record(
    keep: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(failure_records, "_KEEP", keep)
    trouble = AssetFailure("segments", "news/batch-0001", "x" * 5_000)

    def fail(number: int) -> None:
        write_record(tmp_path, FailureRecord("", str(number), "job", "", (trouble,) * 5, ""))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(fail, range(120)))
    runs = [int(record.run_id) for record in read_records(tmp_path)]
    assert len(set(runs)) == len(runs)
    assert len(runs) == 120 if keep > 120 else keep // 2 <= len(runs) <= keep
    assert {path.name for path in tmp_path.iterdir()} == {failure_records.FAILURES_FILE, failure_records.LOCK_FILE}


def test_a_damaged_line_of_the_failures_is_left_out(tmp_path: Path) -> None:
    record = FailureRecord("2026-01-01T00:00:00+00:00", "1" * 8, "ingest_batch", "", (), "voice build")
    write_record(tmp_path, record)
    with (tmp_path / FAILURES_FILE).open("ab") as file:
        file.write(b'[]\n{"when": "2026\n\xff\n')
    write_record(tmp_path, record)
    assert read_records(tmp_path) == [record, record]
