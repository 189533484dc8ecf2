"""The sensors that request runs: for what is new in the raw bucket, and for what the nightly schedule found stale."""

import time
from collections.abc import Sequence

import dagster as dg

from resources.corpus import CorpusResource
from voice_assets.code_location import current_location
from voice_assets.defs.voice_dataset.jobs import (
    BATCH_JOBS,
    JOB_BY_ASSET,
    can_build_dataset,
    card_job,
    ingest_job,
    plan_nightly,
    splits_job,
)
from voice_assets.defs.voice_dataset.partitions import CHANNEL_BATCH
from voice_assets.instance import add_partitions
from voice_assets.run_ownership import release_orphaned_runs
from voice_assets.run_queries import (
    RANGE_END,
    RANGE_START,
    find_busy_partitions,
    read_last_built,
    read_planned_runs,
)
from voice_assets.sensor_backoff import filter_unresolved, group_contiguous, read_cursor, select_due, write_cursor
from voice_core.corpus.ingest.discovery import Discovery, discover
from voice_core.corpus.status import ASSETS
from voice_core.fingerprint import fingerprint
from voice_core.redaction import redact_raised_errors
from voice_core.settings import Settings

HEADER_BUDGET_SEC = 10.0  # a tick has 60 s in total, and listing a large bucket takes a good part of them


def new_recordings_sensor(settings: Settings, status: dg.DefaultSensorStatus) -> dg.SensorDefinition:
    @dg.sensor(
        name="new_recordings",
        job=ingest_job,
        minimum_interval_seconds=settings.automation.sensor_interval_sec,
        default_status=status,
        description="Lists the raw bucket, assigns new recordings to batches, and requests runs of the batches with "
        "new, changed or removed recordings. A batch that failed is requested again after 15 minutes or more.",
    )
    @redact_raised_errors()
    def new_recordings(context: dg.SensorEvaluationContext, corpus: CorpusResource) -> dg.SensorResult:
        release_orphaned_runs(context.instance)  # a batch of a killed run would count as in progress
        found = discover(corpus.raw(), corpus.work(), corpus.settings, budget_sec=HEADER_BUDGET_SEC)
        return request_runs(context, found, corpus.settings, time.time())

    return new_recordings


def request_runs(
    context: dg.SensorEvaluationContext, found: Discovery, settings: Settings, now: float
) -> dg.SensorResult:
    """The runs for what was found, up to the limit of a tick."""
    instance = context.instance
    known = instance.get_dynamic_partitions(CHANNEL_BATCH)
    order = add_partitions(instance, CHANNEL_BATCH, sorted(str(batch.partition) for batch in found.batches))
    busy = find_busy_partitions(instance, order, ASSETS, [job.name for job in BATCH_JOBS])
    still_filling = found.partitions_to_fill()
    news = {
        str(batch.partition): found.listing_fingerprint(batch)
        for batch in found.batches
        if batch.partition in found.batch_changes and batch.partition not in still_filling
    }
    asked = read_cursor(context.cursor)
    asked = filter_unresolved(asked, news, busy, read_last_built(instance, asked.keys() - busy, "segments"))
    wanted = select_due(asked, news, busy, now)
    groups = list(group_contiguous(wanted, order, settings.automation.partitions_per_run))
    chosen = groups[: settings.automation.max_runs_per_tick]
    for key in (key for group in chosen for key in group):
        asked[key] = wanted[key]
    requests = [_request(group, [wanted[key].listing_fingerprint for key in group], now) for group in chosen]
    message = _describe_tick(
        found, len(order) - len(known), chosen, sum(map(len, groups)) - sum(map(len, chosen)), len(busy)
    )
    context.log.info(message)
    return dg.SensorResult(
        run_requests=requests,
        skip_reason=None if requests else message,
        cursor=write_cursor(asked),
    )


def _request(group: Sequence[str], versions: Sequence[str], now: float) -> dg.RunRequest:
    run_key = fingerprint(list(group), list(versions), now)
    if len(group) == 1:
        return dg.RunRequest(run_key, partition_key=group[0])
    return dg.RunRequest(run_key, tags={RANGE_START: group[0], RANGE_END: group[-1]})


def _describe_tick(found: Discovery, opened: int, chosen: Sequence[Sequence[str]], left: int, busy: int) -> str:
    changes = found.batch_changes.values()
    parts = [
        f"{sum(len(batch.recordings) for batch in found.batches)} recordings in {len(found.batches)} batches",
        f"{found.new} new in {opened} new batches" if opened else f"{found.new} new",
        f"{sum(item.changed for item in changes)} changed",
        f"{sum(item.vanished for item in changes)} vanished",
        f"{len(found.pending)} waiting for their headers to be read",
    ]
    unreachable = sum(item.unreachable for item in changes)
    if unreachable:
        parts.append(f"{unreachable} that the store did not return")
    parts.append(f"requested {len(chosen)} runs over {sum(map(len, chosen))} batches")
    if left:
        parts.append(f"{left} batches wait for the next tick")
    if busy:
        parts.append(f"{busy} batches are in runs")
    return ", ".join(parts)


@dg.run_status_sensor(
    dg.DagsterRunStatus.SUCCESS,
    monitored_jobs=[plan_nightly],
    request_jobs=[*BATCH_JOBS, splits_job, card_job],
    # On by default: it does nothing until the schedule, or somebody, runs plan_nightly.
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Requests the runs that a run of plan_nightly, which the schedule nightly requests, found necessary.",
)
def nightly_runs(context: dg.RunStatusSensorContext) -> dg.SensorResult | dg.SkipReason:
    run_id = context.dagster_run.run_id
    runs = read_planned_runs(context.instance, run_id)
    if not runs:
        return dg.SkipReason(f"run {run_id}: nothing is stale, or what is stale is in a run already")
    return dg.SensorResult(run_requests=[_planned_request(assets, batches, run_id) for assets, batches in runs])


def _planned_request(assets: Sequence[str], batches: Sequence[str], run_id: str) -> dg.RunRequest:
    """The request of a run over the batches from the first to the last, or over the whole dataset."""
    tags = {"voice/command": "nightly"}
    if len(batches) > 1:
        tags |= {RANGE_START: batches[0], RANGE_END: batches[-1]}
    return dg.RunRequest(
        fingerprint(list(assets), list(batches), run_id),
        job_name=JOB_BY_ASSET[assets[0]],
        asset_selection=[dg.AssetKey(name) for name in assets],
        partition_key=batches[0] if len(batches) == 1 else None,
        tags=tags,
    )


@dg.definitions
def definitions() -> dg.Definitions:
    location = current_location()
    sensors: list[dg.SensorDefinition] = []
    if "ingest" in location.steps:
        sensors.append(new_recordings_sensor(location.settings, location.sensor_status))
    if can_build_dataset():
        sensors.append(nightly_runs)
    return dg.Definitions(sensors=sensors)
