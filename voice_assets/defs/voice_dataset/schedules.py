"""What happens at night and once a week, and the jobs for it, which CI can launch by name too."""

from collections.abc import Collection
from typing import Any

import dagster as dg

from resources.corpus import CorpusResource
from voice_core.audit import audit_work_root
from voice_core.settings import Settings, StepName

_MAX_NAMED_FILES = 20  # files that a failed audit's message names; the report names all


@dg.op
def build_what_is_not_current(context: dg.OpExecutionContext, corpus: CorpusResource) -> None:
    """What `voice build` does, in this process: every batch and asset it builds is recorded as a run of its own."""
    from voice_assets.build import build

    report = build(corpus.settings, context.instance)
    context.add_output_metadata({"materialised": report.materialised, **report.figures, "warnings": report.warnings})
    if report.failures:
        raise dg.Failure(
            f"{len(report.failures)} failures; everything else is up to date.\n" + "\n".join(report.failures),
            metadata={"failures": report.failures},
            allow_retries=False,
        )


@dg.job(description="Everything that is missing or stale, also after changed settings: what `voice build` does.")
def bring_up_to_date() -> None:
    build_what_is_not_current()


@dg.op
def read_committed_files(context: dg.OpExecutionContext, corpus: CorpusResource) -> None:
    """Every file of the work root, read again and compared with what was committed. Repairs nothing."""
    work = corpus.work()
    report = audit_work_root(work, corpus.settings)
    figures: dict[str, Any] = {
        "batches": len(report.partitions),
        "files": report.files,
        "gigabytes": round(report.size_bytes / 1e9, 3),
        "wrong": len(report.wrong),
        "unlisted": len(report.unlisted),
        "begun": report.begun,
        "ended": report.ended,
    }
    context.log_event(dg.AssetObservation("dataset_card", metadata={f"audit/{k}": v for k, v in figures.items()}))
    context.add_output_metadata(figures)
    if report.wrong:
        named = "\n".join(f"{key} {what}" for key, what in list(report.wrong.items())[:_MAX_NAMED_FILES])
        more = f"\nand {len(report.wrong) - _MAX_NAMED_FILES} more" if len(report.wrong) > _MAX_NAMED_FILES else ""
        raise dg.Failure(
            f"{len(report.wrong)} of {report.files} files are not what was committed. To repair: "
            f"{'; '.join(report.remedies)}\n{named}{more}",
            metadata={"wrong": report.wrong, "remedies": report.remedies},
            allow_retries=False,
        )


@dg.job(description="Read every committed file and compare its checksum; fails naming those that are wrong.")
def audit_files() -> None:
    read_committed_files()


def select_jobs(steps: Collection[StepName]) -> list[dg.JobDefinition]:
    """Those that make sense where these steps run: what builds everything, only where everything can be built."""
    found: list[dg.JobDefinition] = []
    if {"ingest", "encode", "write"} <= set(steps):
        found.append(bring_up_to_date)
    if "write" in steps:
        found.append(audit_files)
    return found


def make_schedules(
    settings: Settings, jobs: Collection[dg.JobDefinition], status: dg.DefaultScheduleStatus
) -> list[dg.ScheduleDefinition]:
    """The nightly build and the weekly audit, as far as there are their jobs; neither starts while its last one is at
    work."""
    times = settings.automation
    return [
        _make_exclusive_schedule(name, job, cron, times.timezone, status)
        for name, job, cron in (
            ("nightly", bring_up_to_date, times.nightly),
            ("weekly_audit", audit_files, times.weekly_audit),
        )
        if job in jobs
    ]


def _make_exclusive_schedule(
    name: str, job: dg.JobDefinition, cron: str, timezone: str, status: dg.DefaultScheduleStatus
) -> dg.ScheduleDefinition:
    @dg.schedule(
        name=name,
        job=job,
        cron_schedule=cron,
        execution_timezone=timezone,
        default_status=status,
        description=job.description,
    )
    def tick(context: dg.ScheduleEvaluationContext) -> dg.RunRequest | dg.SkipReason:
        at_work = dg.RunsFilter(
            job_name=job.name,
            statuses=[dg.DagsterRunStatus.QUEUED, dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED],
        )
        for run in context.instance.get_runs(at_work, limit=1):
            return dg.SkipReason(f"run {run.run_id} of {job.name} is still at work")
        return dg.RunRequest()

    return tick
