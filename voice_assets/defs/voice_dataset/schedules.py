"""The schedules of the voice dataset: every night, runs for what is stale; every week, an audit of all files."""

import dagster as dg

from voice_assets.code_location import current_location
from voice_assets.defs.voice_dataset.jobs import (
    audit_files,
    build_stale,
    can_build_dataset,
    old_build_stale,
    plan_nightly,
)
from voice_assets.run_queries import UNFINISHED_STATUSES
from voice_core.settings import Settings


def nightly_schedule(settings: Settings, status: dg.DefaultScheduleStatus) -> dg.ScheduleDefinition:
    """Requests a run that finds what is missing or stale; the sensor `nightly_runs` requests the runs for it."""

    @dg.schedule(
        name="nightly",
        job=plan_nightly,
        cron_schedule=settings.automation.nightly,
        execution_timezone=settings.automation.timezone,
        default_status=status,
        description="Finds everything that is missing or stale, also after changed settings. The sensor nightly_runs "
        "requests runs for it, and automation_sensor builds what depends on them.",
    )
    def nightly(context: dg.ScheduleEvaluationContext) -> dg.RunRequest | dg.SkipReason:
        jobs = (build_stale.name, old_build_stale.name, plan_nightly.name)
        message = _describe_unfinished_run(context.instance, *jobs)
        return dg.SkipReason(message) if message else dg.RunRequest(tags={"voice/command": "nightly"})

    return nightly


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
