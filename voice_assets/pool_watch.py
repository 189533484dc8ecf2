"""What a run says while it waits for a slot of a pool: who has it."""

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import dagster as dg
from sqlalchemy.exc import SQLAlchemyError

from voice_assets.pools import look_at
from voice_assets.run_process import process_tags, release_dead

LOOKED_EVERY_SEC = 2.0
SAID_EVERY_SEC = 30.0
_log = logging.getLogger(__name__)


class PoolWatch(dg.ConfigurableResource):
    """Notes which process a run is in, and as long as it waits for its pool, who holds that.

    A resource, since it is there before Dagster asks for a slot: the step itself runs once it has one, and Dagster's
    own event says for what is waited, but not for whom.
    """

    pool: str = ""

    @contextmanager
    def yield_for_execution(self, context: dg.InitResourceContext) -> Iterator["PoolWatch"]:
        instance, run = context.instance, context.run
        if instance is None or run is None:
            yield self
            return
        run_id = run.run_id
        instance.add_run_tags(run_id, process_tags(run_id))
        if not self.pool:
            yield self
            return

        def say(message: str) -> None:
            assert context.log is not None
            context.log.info(message)
            _log.info(message)

        watcher = _Watcher(instance, run_id, self.pool, say)
        watcher.start()
        try:
            yield self
        finally:
            watcher.end()


class _Watcher(threading.Thread):
    def __init__(self, instance: dg.DagsterInstance, run_id: str, pool: str, say: Callable[[str], None]) -> None:
        super().__init__(name="pool-watch", daemon=True)
        self._instance, self._run_id, self._pool, self._say = instance, run_id, pool, say
        self._ended = threading.Event()

    def run(self) -> None:
        said: float | None = None
        began = time.monotonic()
        while not self._ended.wait(LOOKED_EVERY_SEC):
            try:
                if said is not None:
                    release_dead(self._instance)  # it may wait for one that was killed
                pool = look_at(self._instance, self._pool, queued=False)
            except SQLAlchemyError as error:  # a database too busy to answer now
                _log.debug("the pool %s could not be looked at: %s", self._pool, error)
                continue
            if any(place.run_id == self._run_id for place in pool.holding):
                if said is not None:
                    self._say(f"has the pool {self._pool} after {time.monotonic() - began:.0f} s")
                return
            waits = any(place.run_id == self._run_id for place in pool.waiting)
            if waits and (said is None or time.monotonic() - said >= SAID_EVERY_SEC):
                self._say(f"waits for the pool {self._pool}, {pool.limit} at a time: held by {pool.held_by}")
                said = time.monotonic()

    def end(self) -> None:
        self._ended.set()
        self.join(10)
