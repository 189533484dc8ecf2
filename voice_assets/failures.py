"""Failed runs in Dagster's run history: which assets of which batches were not built, why, and how to retry.

What failed is read from the events of the runs in the instance, so nothing has to record it: runs of the daemon, of the
UI and of `voice build` are all there.
"""

import dataclasses
import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

import dagster as dg

from voice_assets.run_ownership import HOST_TAG
from voice_assets.run_queries import PARTITION
from voice_assets.step_failures import describe_error, read_failed_batches
from voice_core.layout import partition_flags
from voice_core.redaction import redact
from voice_core.settings import Settings

_MAX_ERROR_LINES = 6
_MAX_LINE_CHARACTERS = 400


@dataclass(frozen=True, slots=True)
class AssetFailure:
    """An asset of a batch that was not built, or a step without either. `error` begins with the error's type."""

    asset: str
    partition: str
    error: str


@dataclass(frozen=True, slots=True)
class FailedRun:
    """A failed run. `when` is the time of the failure in UTC, ISO 8601; `host` is empty if it is not recorded."""

    when: str
    run_id: str
    job: str
    host: str
    failures: tuple[AssetFailure, ...]
    retry: str


def read_failed_runs(instance: dg.DagsterInstance, settings: Settings, limit: int | None = None) -> list[FailedRun]:
    """The last failed runs of the instance, the oldest first."""
    wanted = dg.RunsFilter(statuses=[dg.DagsterRunStatus.FAILURE])
    records = instance.get_run_records(wanted, limit=limit)
    return [_read_failed_run(instance, record, settings) for record in reversed(records)]


def _read_failed_run(instance: dg.DagsterInstance, record: dg.RunRecord, settings: Settings) -> FailedRun:
    run = record.dagster_run
    kinds = {dg.DagsterEventType.STEP_FAILURE, dg.DagsterEventType.RUN_FAILURE}
    events = instance.get_records_for_run(run.run_id, of_type=kinds).records
    found = [item.event_log_entry.dagster_event for item in events]
    steps = [event for event in found if event is not None and event.is_step_failure]
    failures = [failure for event in steps for failure in _iter_step_failures(instance, run, event)]
    if not failures:  # the run failed outside of a step
        messages = [event.message for event in found if event is not None and event.message]
        failures = [AssetFailure("", run.tags.get(PARTITION, ""), messages[-1] if messages else "no message")]
    batches = sorted({item.partition for item in failures if item.partition})
    ended = record.end_time or record.update_timestamp.timestamp()
    return FailedRun(
        datetime.fromtimestamp(ended, UTC).isoformat(timespec="seconds"),
        run.run_id,
        run.job_name,
        run.tags.get(HOST_TAG, ""),
        tuple(_redact(item, settings) for item in failures),
        f"voice build{partition_flags(batches)}",
    )


def _iter_step_failures(
    instance: dg.DagsterInstance, run: dg.DagsterRun, event: dg.DagsterEvent
) -> Iterator[AssetFailure]:
    batches = read_failed_batches(event)
    for key, message in batches.items():
        asset, _, error = message.partition(": ")
        yield AssetFailure(asset, key, error)
    if not batches:
        asset = _find_unbuilt_asset(instance, run, event.step_key or "")
        yield AssetFailure(asset, run.tags.get(PARTITION, ""), describe_error(event.step_failure_data.error))


def _find_unbuilt_asset(instance: dg.DagsterInstance, run: dg.DagsterRun, step: str) -> str:
    """The first asset of a step that was not built; the step's name if it builds none."""
    kinds = {dg.DagsterEventType.ASSET_MATERIALIZATION_PLANNED, dg.DagsterEventType.ASSET_MATERIALIZATION}
    planned: list[str] = []
    made: set[str] = set()
    for record in instance.get_records_for_run(run.run_id, of_type=kinds).records:
        event = record.event_log_entry.dagster_event
        if event is None or event.asset_key is None or (event.step_key or step) != step:
            continue
        name = event.asset_key.to_user_string()
        if event.event_type is dg.DagsterEventType.ASSET_MATERIALIZATION:
            made.add(name)
        else:
            planned.append(name)
    return next((name for name in planned if name not in made), planned[-1] if planned else step)


def _redact(failure: AssetFailure, settings: Settings) -> AssetFailure:
    """The failure without secrets, and with a limited number of lines."""
    known = [settings.s3.secret_access_key, settings.s3.session_token]
    secrets = [item.get_secret_value() for item in known]
    secrets += [os.environ.get(name, "") for name in ("HF_TOKEN", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")]
    lines = redact(failure.error, *secrets).strip().splitlines()
    return dataclasses.replace(
        failure, error="\n".join(line[:_MAX_LINE_CHARACTERS] for line in lines[:_MAX_ERROR_LINES])
    )


def is_resolved(instance: dg.DagsterInstance, run: FailedRun, failure: AssetFailure) -> bool:
    """Whether the asset of that batch was materialised after the failure."""
    if not failure.asset:
        return False
    wanted = dg.AssetRecordsFilter(
        asset_key=dg.AssetKey(failure.asset),
        asset_partitions=[failure.partition] if failure.partition else None,
        after_timestamp=datetime.fromisoformat(run.when).timestamp(),
    )
    return bool(instance.fetch_materializations(wanted, limit=1).records)
