"""The state of Dagster's pools: limits, runs that hold a slot, runs that wait for one; and setting the limits."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime

import dagster as dg
from sqlalchemy.exc import IntegrityError

from voice_assets.run_ownership import HOST_TAG, PID_TAG
from voice_assets.run_queries import format_run_partitions
from voice_core.compute.gpus import GpuProfile, load_gpu_profiles
from voice_core.settings import Settings


@dataclass(frozen=True, slots=True)
class PoolClaim:
    """A step that holds a slot or waits for one. `since` is local time, ISO 8601; unknown fields are empty."""

    run_id: str
    job: str
    step: str
    batches: str
    host: str
    pid: str
    since: str
    status: str  # of the run
    is_next: bool = False  # a slot is reserved for this waiting step

    def __str__(self) -> str:
        where = (f" on {self.host}" if self.host else "") + (f", process {self.pid}" if self.pid else "")
        since = f", since {self.since}" if self.since else ""
        return f"run {self.run_id[:8]} of {self.job}{' over ' + self.batches if self.batches else ''}{where}{since}"


@dataclass(frozen=True, slots=True)
class PoolState:
    """A pool. `limit` is None if neither it nor the instance has one; `queued` are runs that have not started yet."""

    name: str
    limit: int | None
    is_default: bool
    holding: tuple[PoolClaim, ...]
    waiting: tuple[PoolClaim, ...]
    queued: tuple[PoolClaim, ...]

    @property
    def held_by(self) -> str:
        """The runs that hold it, in words."""
        return "; ".join(map(str, self.holding)) or "no run yet"


def read_pool_state(instance: dg.DagsterInstance, name: str, *, queued: bool = True) -> PoolState:
    """The pool as it is now. `queued` also searches the queue of runs."""
    info = instance.event_log_storage.get_concurrency_info(name)
    claimed = {(slot.run_id, slot.step_key) for slot in info.claimed_slots}
    pending = [item for item in info.pending_steps if (item.run_id, item.step_key) not in claimed]
    ids = {slot.run_id for slot in info.claimed_slots} | {item.run_id for item in info.pending_steps}
    runs = {run.run_id: run for run in instance.get_runs(dg.RunsFilter(run_ids=list(ids)))} if ids else {}
    return PoolState(
        name,
        info.limit,
        info.using_default_limit or info.slot_count == 0,
        tuple(
            _make_claim(runs, slot.run_id, slot.step_key, _read_step_start(instance, slot.run_id, slot.step_key))
            for slot in info.claimed_slots
        ),
        tuple(
            replace(
                _make_claim(runs, item.run_id, item.step_key, item.enqueued_timestamp.timestamp()),
                is_next=item.assigned_timestamp is not None,
            )
            for item in sorted(pending, key=lambda item: item.enqueued_timestamp)
        ),
        tuple(_iter_queued_runs(instance, name)) if queued else (),
    )


def read_pool_states(instance: dg.DagsterInstance | None, names: Iterable[str]) -> list[PoolState]:
    """These pools and all that have a limit; without an instance, pools that no run has used yet."""
    if instance is None:
        return [PoolState(name, None, True, (), (), ()) for name in sorted(names)]
    limited = {pool.name for pool in instance.event_log_storage.get_pool_limits()}
    return [read_pool_state(instance, name) for name in sorted({*names, *limited})]


def apply_limits(instance: dg.DagsterInstance, profiles: Mapping[str, GpuProfile]) -> list[str]:
    """Set the limit of every profile's pool; returns the changes, in words. Other pools are not changed."""
    storage = instance.event_log_storage
    known = {pool.name: pool for pool in storage.get_pool_limits()}
    changes: list[str] = []
    for name, profile in profiles.items():
        before = known.get(name)
        if before is not None and before.limit == profile.limit and not before.from_default:
            continue
        storage.set_concurrency_slots(name, profile.limit)
        was = "new" if before is None else f"was {before.limit}{', the default' if before.from_default else ''}"
        changes.append(f"{name}: {profile.limit} at a time ({was})")
    return changes


def set_missing_limits(instance: dg.DagsterInstance, names: Collection[str]) -> None:
    """Set the profile's limit of those of these pools that have none. Limits that are already set are kept."""
    storage = instance.event_log_storage
    for name, profile in load_gpu_profiles(Settings.load().gpu_profiles).items():
        if name in names and not any(pool.name == name and not pool.from_default for pool in storage.get_pool_limits()):
            with suppress(IntegrityError):  # another process set it at the same time
                storage.set_concurrency_slots(name, profile.limit)


def _make_claim(runs: Mapping[str, dg.DagsterRun], run_id: str, step: str, since: float | None) -> PoolClaim:
    run = runs.get(run_id)
    when = datetime.fromtimestamp(since).astimezone().isoformat(timespec="seconds") if since else ""
    if run is None:
        return PoolClaim(run_id, "an unknown job", step, "", "", "", when, "deleted")
    host, pid = run.tags.get(HOST_TAG, ""), run.tags.get(PID_TAG, "")
    return PoolClaim(run_id, run.job_name, step, format_run_partitions(run.tags), host, pid, when, run.status.value)


def _read_step_start(instance: dg.DagsterInstance, run_id: str, step: str) -> float | None:
    """When a step started, in Unix time; None if it has not."""
    stats = instance.get_run_step_stats(run_id, [step])
    return next((item.start_time for item in stats), None)


def _iter_queued_runs(instance: dg.DagsterInstance, pool: str) -> Iterable[PoolClaim]:
    waiting: Sequence[dg.DagsterRun] = instance.get_runs(dg.RunsFilter(statuses=[dg.DagsterRunStatus.QUEUED]))
    for run in reversed(waiting):
        pools = run.run_op_concurrency.all_pools if run.run_op_concurrency else None
        if pool in (pools or ()):
            yield _make_claim({run.run_id: run}, run.run_id, "", None)
