"""The schedules of the voice dataset: every night, runs for what is stale; every week, an audit of all files."""

import dagster as dg

from resources.corpus import CorpusResource
from voice_assets.code_location import current_location
from voice_assets.defs.voice_dataset.jobs import (
    BATCH_JOBS,
    audit_files,
    build_stale,
    can_build_dataset,
    card_job,
    old_build_stale,
    old_splits_job,
    splits_job,
)
from voice_assets.defs.voice_dataset.partitions import NAME
from voice_assets.defs.voice_dataset.sensors import HEADER_BUDGET_SEC
from voice_assets.instance import add_partitions
from voice_assets.run_queries import (
    RANGE_END,
    RANGE_START,
    UNFINISHED_STATUSES,
    find_busy_assets,
    find_busy_partitions,
)
from voice_assets.stale_runs import ENCODE_ASSETS, INGEST_ASSETS, ROW_ASSETS, StaleRun, plan_stale_runs
from voice_core.corpus.status import ASSETS
from voice_core.fingerprint import fingerprint
from voice_core.settings import Settings

_WHOLE_DATASET_ASSETS = ("dataset_splits", "dataset_card")
_WHOLE_DATASET_JOBS = {
    splits_job.name: "dataset_splits",
    old_splits_job.name: "dataset_splits",
    card_job.name: "dataset_card",
}


def nightly_schedule(settings: Settings, status: dg.DefaultScheduleStatus) -> dg.ScheduleDefinition:
    """Compares the work root with recordings, transcripts and settings by content, and requests runs for what is stale.

    What depends on these runs follows through `automation_sensor`; what is left is requested the next night.
    """

    @dg.schedule(
        name="nightly",
        target=dg.AssetSelection.assets(*INGEST_ASSETS, *ENCODE_ASSETS, *ROW_ASSETS, *_WHOLE_DATASET_ASSETS),
        cron_schedule=settings.automation.nightly,
        execution_timezone=settings.automation.timezone,
        default_status=status,
        description="Requests runs for everything that is missing or stale, also after changed settings. "
        "automation_sensor builds what depends on them.",
    )
    def nightly(context: dg.ScheduleEvaluationContext, corpus: CorpusResource) -> list[dg.RunRequest] | dg.SkipReason:
        from voice_assets.build import discover_and_compare

        instance = context.instance
        if message := _describe_unfinished_run(instance, build_stale.name, old_build_stale.name):
            return dg.SkipReason(message)
        _, found, status = discover_and_compare(corpus.settings, instance, header_budget_sec=HEADER_BUDGET_SEC)
        order = add_partitions(instance, NAME, sorted(str(batch.partition) for batch in found.batches))
        busy = find_busy_partitions(instance, order, ASSETS, [job.name for job in BATCH_JOBS])
        filling = {str(partition) for partition in found.partitions_to_fill()}
        busy_assets = find_busy_assets(instance, _WHOLE_DATASET_ASSETS, _WHOLE_DATASET_JOBS)
        runs = plan_stale_runs(status, order, busy | filling, busy_assets, settings.automation.partitions_per_run)
        if not runs:
            return dg.SkipReason(f"{len(order)} batches: nothing is stale, or what is stale is in a run already")
        tick = context.scheduled_execution_time.isoformat()
        return [_request(run, tick) for run in runs]

    return nightly


def _request(run: StaleRun, tick: str) -> dg.RunRequest:
    """The request of a run. Its key is unique to the tick, so that a tick that is evaluated again requests it once."""
    key = fingerprint(list(run.assets), list(run.batches), tick)
    assets = [dg.AssetKey(name) for name in run.assets]
    tags = {"voice/command": "nightly"}
    if len(run.batches) == 1:
        return dg.RunRequest(key, asset_selection=assets, partition_key=run.batches[0], tags=tags)
    if run.batches:
        tags |= {RANGE_START: run.batches[0], RANGE_END: run.batches[-1]}
    return dg.RunRequest(key, asset_selection=assets, tags=tags)


def audit_schedule(settings: Settings, status: dg.DefaultScheduleStatus) -> dg.ScheduleDefinition:
    @dg.schedule(
        name="weekly_audit",
        job=audit_files,
        cron_schedule=settings.automation.weekly_audit,
        execution_timezone=settings.automation.timezone,
        default_status=status,
        description=audit_files.description,
    )
    def weekly_audit(context: dg.ScheduleEvaluationContext) -> dg.RunRequest | dg.SkipReason:
        message = _describe_unfinished_run(context.instance, audit_files.name)
        return dg.SkipReason(message) if message else dg.RunRequest()

    return weekly_audit


def _describe_unfinished_run(instance: dg.DagsterInstance, *jobs: str) -> str:
    """A message that names a run of one of these jobs that has not finished; empty if there is none."""
    for job in jobs:
        for run in instance.get_runs(dg.RunsFilter(job_name=job, statuses=UNFINISHED_STATUSES), limit=1):
            return f"run {run.run_id} of {job} has not finished"
    return ""


@dg.definitions
def definitions() -> dg.Definitions:
    location = current_location()
    settings, status = location.settings, location.schedule_status
    schedules = [nightly_schedule(settings, status)] if can_build_dataset() else []
    if "write" in location.steps:
        schedules.append(audit_schedule(settings, status))
    return dg.Definitions(schedules=schedules)
