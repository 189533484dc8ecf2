"""CPU work in a pool of processes that is reused by later steps."""

import itertools
import logging
import os
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Future, wait
from multiprocessing.util import Finalize
from typing import Any, Generic, TypeVar

from loky import get_reusable_executor

from voice_core.compute.worker_signals import install_signal_handlers

Item = TypeVar("Item")
Result = TypeVar("Result")

_log = logging.getLogger(__name__)

_IDLE_SEC = 60
# One thread per process: the pool itself uses all cores.
_WORKER_ENV = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")


def core_count() -> int:
    """The number of cores that this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class WorkerKilledError(BrokenExecutor):
    """A worker process was killed while it processed an item, and again while it processed only that item."""

    def __init__(self, item: str) -> None:
        self.item = item
        super().__init__(
            f"a worker process was killed while it processed {item}, and again when it was processed alone: "
            "most likely there was too little memory. Set VOICE_WORKERS to fewer workers, which need less"
        )


class Admission(Generic[Item]):
    """Chooses the next item to start while the weights of the items in flight sum to at most `capacity`. Pure.

    Items start in order, except that items that fit may overtake one that does not: at most `patience` of them, then
    nothing starts until it fits. An item heavier than the capacity starts when nothing else is in flight.
    """

    def __init__(self, items: Iterable[Item], weigh: Callable[[Item], int], capacity: int, patience: int) -> None:
        self._waiting = deque((item, weigh(item)) for item in items)
        self._room = self._capacity = capacity
        self._patience = patience
        self._overtaken = 0
        self._in_flight = 0

    def admit(self) -> tuple[Item, int] | None:
        """The next item and its weight, or None if none may start now."""
        reach = len(self._waiting) if self._overtaken < self._patience else 1
        for place, (item, weight) in enumerate(itertools.islice(self._waiting, reach)):
            if weight <= self._room or not self._in_flight:
                del self._waiting[place]
                self._overtaken = self._overtaken + 1 if place else 0
                self._room -= weight
                self._in_flight += 1
                return item, weight
        return None

    def release(self, weight: int) -> None:
        """An item of this weight has completed."""
        self._room += weight
        self._in_flight -= 1


def map_unordered(
    function: Callable[[Item], Result],
    items: Iterable[Item],
    workers: int = 0,
    *,
    weigh: Callable[[Item], int] = lambda item: 0,
    capacity: int = 0,
    name: Callable[[Item], str] = lambda item: "an item",
) -> Iterator[tuple[Item, Result]]:
    """Yield `(item, function(item))` as each completes; at most two items per worker are in flight.

    `workers=0` means one per core; with one worker, or one item, everything runs in this process. An exception of
    `function` is raised here at once, and no further items are started. The weights (`weigh`) of the items in flight
    sum to at most `capacity`; a heavier item runs alone.

    If a worker process is killed, for example by the system when memory is short, the items in flight are processed
    again, one after another. Raises WorkerKilledError, with the item's `name`, if a worker is killed again.
    """
    for item, future in _iter_done_futures(function, list(items), workers, weigh, capacity, name, in_order=False):
        yield item, future.result()


def map_ordered(
    function: Callable[[Item], Result],
    items: Iterable[Item],
    workers: int = 0,
    *,
    name: Callable[[Item], str] = lambda item: "an item",
) -> Iterator[Result]:
    """Yield `function(item)` in the order of the items; otherwise as `map_unordered`."""
    for _, future in _iter_done_futures(function, list(items), workers, lambda item: 0, 0, name, in_order=True):
        yield future.result()


def map_stream(
    function: Callable[[Item], Result],
    items: Iterable[Item],
    workers: int = 0,
    *,
    name: Callable[[Item], str] = lambda item: "an item",
) -> Generator[Result, None, None]:
    """Yield `function(item)` as each completes, of items that arrive one by one; at most two per worker are in flight.

    `items` is read on the calling thread. If it raises, or the program is interrupted meanwhile, the results in flight
    are yielded first. Otherwise as `map_unordered`.
    """
    count = workers or core_count()
    if count <= 1:
        yield from map(function, items)
        return
    pool, source = _pool(count), iter(items)
    running: dict[Future[Result], tuple[Item, int]] = {}
    ended: BaseException | None = None
    try:
        while ended is None or running:
            try:
                if ended is None and len(running) < 2 * count:
                    item = next(source)
                    running[_submit(pool, function, item)] = item, 0
                else:
                    wait(running, return_when=FIRST_COMPLETED)
            except BaseException as error:  # raised below, after the results in flight
                if ended is not None:
                    raise
                ended = error
            if any(map(_was_lost, running)):
                pool, running = _retry_lost(function, running, count, name)
            for future in [item for item in running if item.done()]:
                del running[future]
                yield future.result()
    finally:
        if running:  # interrupted: nothing reads the results of running items
            _stop()
    if ended is not None and not isinstance(ended, StopIteration):
        raise ended


def _iter_done_futures(
    function: Callable[[Item], Result],
    items: list[Item],
    workers: int,
    weigh: Callable[[Item], int],
    capacity: int,
    name: Callable[[Item], str],
    *,
    in_order: bool,
) -> Iterator[tuple[Item, Future[Result]]]:
    """Yield items with their completed futures."""
    count = min(workers or core_count(), len(items))
    if count <= 1:
        for item in items:
            future: Future[Result] = Future()
            future.set_result(function(item))
            yield item, future
        return
    pool = _pool(count)
    waiting = Admission(items, weigh, capacity, patience=2 * count)
    running: dict[Future[Result], tuple[Item, int]] = {}
    try:
        while True:
            while len(running) < 2 * count and (admitted := waiting.admit()) is not None:
                running[_submit(pool, function, admitted[0])] = admitted
            if not running:
                return
            first = next(iter(running))
            done = wait([first] if in_order else running, return_when=FIRST_COMPLETED).done
            if any(map(_was_lost, done)):
                pool, running = _retry_lost(function, running, count, name)
                continue
            for future in done:
                item, weight = running.pop(future)
                waiting.release(weight)
                yield item, future
    finally:
        if running:  # interrupted: nothing reads the results of running items
            _stop()


def _submit(pool: Any, function: Callable[[Item], Result], item: Item) -> "Future[Result]":
    try:
        return pool.submit(function, item)
    except BrokenExecutor as error:
        lost: Future[Result] = Future()
        lost.set_exception(error)
        return lost


def _was_lost(future: "Future[Any]") -> bool:
    """Whether it failed because a worker was killed."""
    return future.done() and isinstance(future.exception(), BrokenExecutor)


def _retry_lost(
    function: Callable[[Item], Result],
    running: Mapping[Future[Result], tuple[Item, int]],
    count: int,
    name: Callable[[Item], str],
) -> tuple[Any, dict[Future[Result], tuple[Item, int]]]:
    """Process the items that a killed worker lost again, one after another.

    Returns a new pool, and all futures, completed, in the same order.
    """
    wait(running)
    _log.info("a worker process was killed; its items are processed again")
    pool = _pool(count)
    again: dict[Future[Result], tuple[Item, int]] = {}
    for future, (item, weight) in running.items():
        if _was_lost(future):
            future = _submit(pool, function, item)
            wait([future])
            if _was_lost(future):
                raise WorkerKilledError(name(item)) from future.exception()
        again[future] = item, weight
    return pool, again


_running_pool: Any = None


def _pool(count: int) -> Any:
    global _running_pool
    if _running_pool is None:
        Finalize(None, _stop, exitpriority=100)
    _running_pool = get_reusable_executor(
        max_workers=count, timeout=_IDLE_SEC, env=_WORKER_ENV, reuse="auto", initializer=install_signal_handlers
    )
    return _running_pool


def _stop() -> None:
    """Kill the workers without waiting: on interruption, and at the end of a child process such as a Dagster step."""
    _running_pool.shutdown(wait=False, kill_workers=True)
