"""Which process a run is in: noted in the run's tags, so that a later command sees when it was killed.

Dagster's daemon looks after runs that it launched. A run of `voice build`, or of Dagster's own commands, that is killed
stays STARTED and keeps its slot of a pool until `run_monitoring.max_runtime_seconds` is over.
"""

import logging

import dagster as dg

from voice_assets.signals import Stopped
from voice_core.compute.process_id import Process

HOST = "voice/host"  # the machine that the run is on
PID = "voice/pid"
_IDENTITY = "voice/process"  # what tells the process from others with its pid, and the run from others with its tags
_UNFINISHED = [
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]
_log = logging.getLogger(__name__)


def process_tags(run_id: str) -> dict[str, str]:
    """Tags of a run that this process executes."""
    me = Process.me()
    return {HOST: me.host, PID: str(me.pid), _IDENTITY: f"{run_id} {me.boot} {me.started}"}


def process_of(run: dg.DagsterRun) -> Process | None:
    """The process that a run is in, as far as it came to say so.

    A run that is executed again starts with the tags of the first, which name the first's process.
    """
    run_id, _, identity = run.tags.get(_IDENTITY, "").partition(" ")
    boot, _, started = identity.partition(" ")
    if run_id != run.run_id:
        return None
    return Process.parse({"host": run.tags.get(HOST), "pid": run.tags.get(PID), "boot": boot, "started": started})


def find_dead(instance: dg.DagsterInstance) -> dict[str, tuple[dg.DagsterRun, Process]]:
    """The runs, by id, whose process on this machine was killed before it could end them or give their slots back."""
    storage = instance.event_log_storage
    mine = {HOST: Process.me().host}
    runs = list(instance.get_runs(dg.RunsFilter(statuses=_UNFINISHED, tags=mine)))
    holding = storage.get_concurrency_run_ids()
    if holding:  # a run that ended in a hurry may hold one too
        runs += instance.get_runs(dg.RunsFilter(run_ids=list(holding), tags=mine))
    found = {run.run_id: (run, process) for run in runs if (process := process_of(run)) is not None}
    return {run_id: (run, process) for run_id, (run, process) in found.items() if process.is_dead}


def release_dead(instance: dg.DagsterInstance) -> list[str]:
    """Mark the runs of `find_dead` as failed, and give their slots back; their ids."""
    storage = instance.event_log_storage
    dead = find_dead(instance)
    for run, process in dead.values():
        if not run.is_finished:
            instance.report_run_failed(run, f"{process} was killed: found out by {Process.me()}")
        storage.free_concurrency_slots_for_run(run.run_id)
        _log.info("run %s of %s was given up: %s is no more", run.run_id, run.job_name, process)
    return [*dead]


def stop_if_interrupted(result: dg.ExecuteInProcessResult) -> None:
    """Raise `Stopped` where a run in this process ended because the process was asked to end.

    Dagster reports that as a failed step, or as a failed run where it waited for a pool.
    """
    if any(map(_was_interrupted, result.all_events)):
        raise Stopped


def _was_interrupted(event: dg.DagsterEvent) -> bool:
    if event.is_step_failure:
        error = event.step_failure_data.error
    elif event.event_type is dg.DagsterEventType.RUN_FAILURE:
        error = event.job_failure_data.error
    else:
        return False
    return error is not None and error.cls_name == dg.DagsterExecutionInterruptedError.__name__
