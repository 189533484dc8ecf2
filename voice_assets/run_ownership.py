"""Which process a run is in: recorded in the run's tags, so that a later command detects that it was killed.

Dagster's daemon monitors the runs that it launched. A run of `voice build`, or of Dagster's own commands, that is
killed stays STARTED and keeps its pool slot until `run_monitoring.max_runtime_seconds` is over.
"""

import logging

import dagster as dg

from voice_assets.run_queries import STARTED_STATUSES
from voice_assets.signals import Interrupted
from voice_core.compute.process_id import Process

HOST_TAG = "voice/host"  # the machine that the run is on
PID_TAG = "voice/pid"
_IDENTITY = "voice/process"  # distinguishes the process from others with its pid, and the run from others with its tags
_log = logging.getLogger(__name__)


def process_tags(run_id: str) -> dict[str, str]:
    """Tags of a run that this process executes."""
    me = Process.current()
    return {HOST_TAG: me.host, PID_TAG: str(me.pid), _IDENTITY: f"{run_id} {me.boot} {me.started}"}


def read_run_process(run: dg.DagsterRun) -> Process | None:
    """The process that a run is in; None if it is not recorded.

    A run that is executed again starts with the tags of the first run, which name the process of that run.
    """
    run_id, _, identity = run.tags.get(_IDENTITY, "").partition(" ")
    boot, _, started = identity.partition(" ")
    if run_id != run.run_id:
        return None
    return Process.parse(
        {"host": run.tags.get(HOST_TAG), "pid": run.tags.get(PID_TAG), "boot": boot, "started": started}
    )


def find_orphaned_runs(instance: dg.DagsterInstance) -> dict[str, tuple[dg.DagsterRun, Process]]:
    """The runs, by id, whose process on this machine was killed before it could end them or free their slots."""
    storage = instance.event_log_storage
    mine = {HOST_TAG: Process.current().host}
    runs = list(instance.get_runs(dg.RunsFilter(statuses=STARTED_STATUSES, tags=mine)))
    holding = storage.get_concurrency_run_ids()
    if holding:  # a run that has ended may still hold one
        runs += instance.get_runs(dg.RunsFilter(run_ids=list(holding), tags=mine))
    found = {run.run_id: (run, process) for run in runs if (process := read_run_process(run)) is not None}
    return {run_id: (run, process) for run_id, (run, process) in found.items() if process.is_dead}


def release_orphaned_runs(instance: dg.DagsterInstance) -> list[str]:
    """Mark the runs of `find_orphaned_runs` as failed and free their slots; returns their ids."""
    storage = instance.event_log_storage
    dead = find_orphaned_runs(instance)
    for run, process in dead.values():
        if not run.is_finished:
            instance.report_run_failed(run, f"{process} was killed: detected by {Process.current()}")
        storage.free_concurrency_slots_for_run(run.run_id)
        _log.info("run %s of %s was marked as failed: %s does not exist any more", run.run_id, run.job_name, process)
    return [*dead]


def raise_if_interrupted(result: dg.ExecuteInProcessResult) -> None:
    """Raise `Interrupted` where a run in this process ended because the process was asked to end.

    Dagster reports that as a failed step, or as a failed run where it waited for a pool.
    """
    if any(map(_was_interrupted, result.all_events)):
        raise Interrupted


def _was_interrupted(event: dg.DagsterEvent) -> bool:
    if event.is_step_failure:
        error = event.step_failure_data.error
    elif event.event_type is dg.DagsterEventType.RUN_FAILURE:
        error = event.job_failure_data.error
    else:
        return False
    return error is not None and error.cls_name == dg.DagsterExecutionInterruptedError.__name__
