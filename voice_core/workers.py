"""CPU work over a pool of processes that outlives a single step."""

import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, wait
from typing import TypeVar

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
    pending_items = list(items)
    count = min(workers or core_count(), len(pending_items))
    if count <= 1:
        for item in pending_items:
            yield item, function(item)
        return
    pool = get_reusable_executor(max_workers=count, timeout=_IDLE_SEC, env=_WORKER_ENV, reuse="auto")
    source = iter(pending_items)
    running: dict[Future[Result], Item] = {}

    def fill() -> None:
        while len(running) < 2 * count:
            try:
                item = next(source)
            except StopIteration:
                return
            running[pool.submit(function, item)] = item

    try:
        fill()
        while running:
            done, _ = wait(running, return_when=FIRST_COMPLETED)
            for future in done:
                item = running.pop(future)
                yield item, future.result()
            fill()
    finally:
        for future in running:
            future.cancel()
