"""Waiting for a slot of a pool without busy polling, with log messages that name the runs that hold it."""

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager

import dagster as dg
from sqlalchemy.exc import SQLAlchemyError

from voice_assets.pools import PoolState, read_pool_state, set_missing_limits
from voice_assets.run_ownership import process_tags, release_orphaned_runs

POLL_INTERVAL_SEC = 1.0
LOG_INTERVAL_SEC = 30.0
_log = logging.getLogger(__name__)


class PoolWatch(dg.ConfigurableResource):
    """Records the process of a run, sets missing limits of its pools, and lets a step that waits for its pool sleep.

    Works around Dagster 1.13: its in-process executor polls for a slot without a pause, which uses a whole core,
    since `InstanceConcurrencyContext.interval_to_next_pending_claim_check` is never above 0; and its event names
    the pool, but not the runs that hold it. So the listener to that event, which Dagster calls before it polls,
    returns once it is this run's turn. This is a resource because resources are set up before Dagster asks for the
    slot. A test in `test_pools.py` fails once Dagster pauses by itself: `_PoolWaitListener` can be removed then.
    """

    @contextmanager
    def yield_for_execution(self, context: dg.InitResourceContext) -> Iterator["PoolWatch"]:
        instance, run, log = context.instance, context.run, context.log
        if instance is not None and run is not None and log is not None:
            instance.add_run_tags(run.run_id, process_tags(run.run_id))

            if run.run_op_concurrency is not None:
                set_missing_limits(instance, run.run_op_concurrency.all_pools or ())
            instance.add_event_listener(run.run_id, _PoolWaitListener(instance, run.run_id, log))
        yield self


class _PoolWaitListener:
    def __init__(self, instance: dg.DagsterInstance, run_id: str, run_log: logging.Logger) -> None:
        self._instance, self._run_id, self._run_log = instance, run_id, run_log

    def __call__(self, entry: dg.EventLogEntry) -> None:
        event = entry.dagster_event
        if event is None or event.event_type is not dg.DagsterEventType.ENGINE_EVENT:
            return
        named = event.engine_event_data.metadata.get("pool")
        if isinstance(named, dg.PoolMetadataValue):
            with dg.raise_execution_interrupts():  # Dagster defers them between steps
                self._wait_for_slot(named.value)

    def _wait_for_slot(self, name: str) -> None:
        began = time.monotonic()
        logged_at: float | None = None
        while True:
            pool = self._read_pool(name)
            if pool is not None and not self._must_wait(pool):
                break
            now = time.monotonic()
            if pool is not None and (logged_at is None or now - logged_at >= LOG_INTERVAL_SEC):
                self._log_message(f"waiting for the pool {pool.name} (limit {pool.limit}), held by {pool.held_by}")
                logged_at = now
            time.sleep(POLL_INTERVAL_SEC)
        if logged_at is not None:
            self._log_message(f"got a slot of the pool {name} after {time.monotonic() - began:.0f} s")

    def _log_message(self, message: str) -> None:
        self._run_log.info(message)
        _log.info(message)

    def _read_pool(self, name: str) -> PoolState | None:
        try:
            release_orphaned_runs(self._instance)  # the slot may be held by a killed run
            return read_pool_state(self._instance, name, queued=False)
        except SQLAlchemyError as error:  # the database is too busy to answer now
            _log.debug("the state of the pool %s could not be read: %s", name, error)
            return None

    def _must_wait(self, pool: PoolState) -> bool:
        """Whether Dagster would refuse a slot now: the run waits, and no slot is reserved for it."""
        return pool.limit is not None and any(
            claim.run_id == self._run_id and not claim.is_next for claim in pool.waiting
        )
