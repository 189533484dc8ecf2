"""CPU work over a pool of processes that outlives a single step."""

import itertools
import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, wait
from multiprocessing.util import Finalize
from typing import Any, TypeVar

from loky import get_reusable_executor

Item = TypeVar("Item")
Result = TypeVar("Result")

_IDLE_SEC = 60
# One thread a process: the pool itself keeps the cores busy.
_WORKER_ENV = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")


def core_count() -> int:
    """Cores this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def unordered(
    function: Callable[[Item], Result], items: Iterable[Item], workers: int = 0
) -> Iterator[tuple[Item, Result]]:
    """Yield `(item, function(item))` as each is done; at most two items a worker are in flight.

    `workers` 0 means one a core; with one worker, or one item, everything happens in this process. An
    exception of `function` is raised here at once, and what has not begun is not begun.
    """
    for item, future in _futures(function, list(items), workers, in_order=False):
        yield item, future.result()


def ordered(function: Callable[[Item], Result], items: Iterable[Item], workers: int = 0) -> Iterator[Result]:
    """Yield `function(item)` in the order of the items; otherwise as `unordered`."""
    for _, future in _futures(function, list(items), workers, in_order=True):
        yield future.result()


def _futures(
    function: Callable[[Item], Result], items: list[Item], workers: int, *, in_order: bool
) -> Iterator[tuple[Item, Future[Result]]]:
    """Futures that are done."""
    count = min(workers or core_count(), len(items))
    if count <= 1:
        for item in items:
            future: Future[Result] = Future()
            future.set_result(function(item))
            yield item, future
        return
    pool = _pool(count)
    source = iter(items)
    running: dict[Future[Result], Item] = {}
    try:
        while True:
            for item in itertools.islice(source, 2 * count - len(running)):
                running[pool.submit(function, item)] = item
            if not running:
                return
            first = next(iter(running))
            done = [first] if in_order else [*wait(running, return_when=FIRST_COMPLETED).done]
            for future in done:
                wait([future])
                yield running.pop(future), future
    finally:
        for future in running:
            future.cancel()


_running_pool: Any = None


def _pool(count: int) -> Any:
    global _running_pool
    if _running_pool is None:
        Finalize(None, _stop, exitpriority=100)
    _running_pool = get_reusable_executor(max_workers=count, timeout=_IDLE_SEC, env=_WORKER_ENV, reuse="auto")
    return _running_pool


def _stop() -> None:
    """At the end of a process that is a child of multiprocessing, such as a Dagster step: do not wait for workers."""
    _running_pool.shutdown(wait=False, kill_workers=True)
