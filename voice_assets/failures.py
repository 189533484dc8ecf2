"""Failed runs in Dagster's run history: which assets of which batches were not built, why, and how to retry.

What failed is read from the events of the runs in the instance, so nothing has to record it: runs of the daemon, of the
UI and of `voice build` are all there.
"""

import dataclasses
import os
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import dagster as dg

from voice_assets.run_ownership import HOST_TAG
from voice_assets.run_queries import PARTITION, RANGE_END, RANGE_START
from voice_core.corpus.status import ASSETS
from voice_core.error_text import drop_class_name
from voice_core.layout import partition_flags
from voice_core.redaction import redact
from voice_core.settings import Settings

FAILED_BATCHES = "failed_batches"  # metadata of a step's failure: batch → "asset: error"
_MAX_ERROR_LINES = 6
_MAX_LINE_CHARACTERS = 400
_BUILT_BY_VOICE = {*ASSETS, "dataset_splits", "dataset_card"}
_PARTITION_TAGS = (PARTITION, RANGE_START, RANGE_END)


@dataclass(frozen=True, slots=True)
class AssetFailure:
    """An asset of a batch that was not built.

    `asset` is the name of the step where that builds no asset, and empty for a run that failed outside of its steps and
    left no asset unbuilt.
    """

    asset: str
    partition: str
    error: str


@dataclass(frozen=True, slots=True)
class FailedRun:
    """A failed run. `when` is the time of the failure in UTC, ISO 8601; `host` is empty if it is not recorded.

    A success after `since`, in Unix time, resolves its failures. `assets` are those that the run was to build, and
    `tags` say for which batches.
    """

    when: str
    run_id: str
    job: str
    host: str
    failures: tuple[AssetFailure, ...]
    retry: str
    since: float
    tags: dict[str, str]
    assets: frozenset[str]


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
    plan = _read_run_plan(instance, run)
    steps = [event for event in found if event is not None and event.is_step_failure]
    failures = [failure for event in steps for failure in _iter_step_failures(run, plan, event)]
    ended = record.end_time or record.update_timestamp.timestamp()
    since = ended
    if not failures:  # the run failed outside of a step
        messages = [event.message for event in found if event is not None and event.message]
        failures = _list_unbuilt(run, plan, messages[-1] if messages else "no message")
        # Its process may have been killed long before that was detected, and others may have built since.
        since = record.start_time or record.create_timestamp.timestamp()
    return FailedRun(
        datetime.fromtimestamp(ended, UTC).isoformat(timespec="seconds"),
        run.run_id,
        run.job_name,
        run.tags.get(HOST_TAG, ""),
        tuple(_redact(item, settings) for item in failures),
        _find_retry_command(instance, run, failures),
        since,
        {name: run.tags[name] for name in _PARTITION_TAGS if name in run.tags},
        frozenset(item.asset for item in plan),
    )


@dataclass(frozen=True, slots=True)
class _PlannedAsset:
    """An asset of a batch that a step of a run was to build."""

    step: str
    asset: str
    partition: str
    made: bool


def _read_run_plan(instance: dg.DagsterInstance, run: dg.DagsterRun) -> list[_PlannedAsset]:
    kinds = {dg.DagsterEventType.ASSET_MATERIALIZATION_PLANNED, dg.DagsterEventType.ASSET_MATERIALIZATION}
    planned: dict[tuple[str, str], str] = {}
    made: set[tuple[str, str]] = set()
    for record in instance.get_records_for_run(run.run_id, of_type=kinds).records:
        event = record.event_log_entry.dagster_event
        if event is None or event.asset_key is None:
            continue
        place = (event.asset_key.to_user_string(), event.partition or "")
        if event.event_type is dg.DagsterEventType.ASSET_MATERIALIZATION:
            made.add(place)
        else:
            planned.setdefault(place, event.step_key or "")
    return [_PlannedAsset(step, *place, place in made) for place, step in planned.items()]


def _list_unbuilt(
    run: dg.DagsterRun, plan: Sequence[_PlannedAsset], error: str, otherwise: str = ""
) -> list[AssetFailure]:
    """The first asset of each batch that was not built; if all were, one entry with the name `otherwise`."""
    first: dict[str, str] = {}
    for item in plan:
        if not item.made:
            first.setdefault(item.partition, item.asset)
    found = [AssetFailure(asset, partition, error) for partition, asset in first.items()]
    return found or [AssetFailure(otherwise, run.tags.get(PARTITION, ""), error)]


def _find_retry_command(instance: dg.DagsterInstance, run: dg.DagsterRun, failures: Sequence[AssetFailure]) -> str:
    batches = sorted({item.partition for item in failures if item.partition})
    assets = sorted({item.asset for item in failures if item.asset})
    if _BUILT_BY_VOICE.intersection(assets):
        return f"voice build{partition_flags(batches)}"
    home = shlex.quote(instance.root_directory)
    chosen = f"--assets {','.join(assets)}" if run.job_name.startswith("__") and assets else f"--job {run.job_name}"
    partition = run.tags.get(PARTITION, "")
    return f"DAGSTER_HOME={home} dg launch {chosen}" + (f" --partition {shlex.quote(partition)}" if partition else "")


def _iter_step_failures(
    run: dg.DagsterRun, plan: Sequence[_PlannedAsset], event: dg.DagsterEvent
) -> Iterator[AssetFailure]:
    batches = read_failed_batches(event)
    for key, message in batches.items():
        asset, _, error = message.partition(": ")
        yield AssetFailure(asset, key, error)
    if not batches:
        step = event.step_key or ""
        mine = [item for item in plan if item.step == step]
        error = describe_error(event.step_failure_data.error)
        yield from _list_unbuilt(run, mine, error, otherwise=mine[-1].asset if mine else step)


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
    """Whether what failed succeeded later.

    For an asset, it was materialised for that batch. For a run or step that builds no asset, a later run of the same
    job succeeded.
    """
    if failure.asset in run.assets:
        wanted = dg.AssetRecordsFilter(
            asset_key=dg.AssetKey(failure.asset),
            asset_partitions=[failure.partition] if failure.partition else None,
            after_timestamp=run.since,
        )
        return bool(instance.fetch_materializations(wanted, limit=1).records)
    if run.assets and not failure.asset:  # it ended after it had built everything
        return True
    succeeded = dg.RunsFilter(job_name=run.job, statuses=[dg.DagsterRunStatus.SUCCESS], tags=run.tags)
    return any((record.end_time or 0) > run.since for record in instance.get_run_records(succeeded, limit=1))


def iter_error_causes(error: "dg.SerializableErrorInfo | None") -> Iterator["dg.SerializableErrorInfo"]:
    """An error that Dagster recorded, then what it was raised from, and so on: the innermost is last."""
    while error is not None:
        yield error
        error = error.cause


def describe_error(error: "dg.SerializableErrorInfo | None") -> str:
    """The messages of an error and its causes, the innermost first, without stack traces."""
    messages = [drop_class_name(item.message.strip()) for item in iter_error_causes(error)]
    return "\n".join(dict.fromkeys(reversed(messages))) or "no message"


def describe_root_cause(error: "dg.SerializableErrorInfo | None") -> str:
    """The message of the error that a step raised, without Dagster's own error around it."""
    causes = list(iter_error_causes(error))
    return drop_class_name(causes[min(1, len(causes) - 1)].message.strip()) if causes else "no message"


def read_failed_batches(event: dg.DagsterEvent) -> dict[str, str]:
    """The errors of a step over many batches, by batch; empty for a step over one."""
    data = event.step_failure_data
    reported = data.user_failure_data.metadata.get(FAILED_BATCHES) if data.user_failure_data else None
    if reported is None or not isinstance(reported.value, dict):
        return {}
    return {str(batch): str(error) for batch, error in reported.value.items()}
