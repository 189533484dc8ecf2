"""Many requests in flight from one process, in bounded memory."""

import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from itertools import islice
from typing import TypeVar

_QUEUED_PER_THREAD = 3  # items a thread that are running or wait to run

Item = TypeVar("Item")
Prepared = TypeVar("Prepared")
Processed = TypeVar("Processed")
Result = TypeVar("Result")


def map_concurrently(function: Callable[[Item], Result], items: Iterable[Item], count: int) -> Iterator[Result]:
    """Yield `function(item)` of each item as it is done, with `count` threads.

    An exception of `function` is raised here; what has not begun by then, or when the caller stops, is not begun.
    """
    source = iter(items)
    with ThreadPoolExecutor(count, thread_name_prefix="flight") as pool:
        running: set[Future[Result]] = set()
        try:
            while True:
                running.update(
                    pool.submit(function, item) for item in islice(source, _QUEUED_PER_THREAD * count - len(running))
                )
                if not running:
                    return
                done, running = wait(running, return_when=FIRST_COMPLETED)
                for future in done:
                    yield future.result()
        finally:
            for future in running:
                future.cancel()


def map_pipelined(
    items: Iterable[Item],
    prepare: Callable[[Item], Prepared],
    process: Callable[[Prepared], Processed],
    finish: Callable[[Processed], Result],
) -> Iterator[Result]:
    """Yield `after(during(before(item)))` in order, where three items are at work at a time, one in each of the three.

    `process` is called here, the others in a thread each. An exception of any of them is raised here.
    """
    source = iter(items)
    with ThreadPoolExecutor(1, "before") as prepare_pool, ThreadPoolExecutor(1, "after") as finish_pool:

        def begin() -> Future[Prepared] | None:
            return next((prepare_pool.submit(prepare, item) for item in source), None)

        next_prepared, pending_result = begin(), None
        try:
            while next_prepared is not None:
                prepared = next_prepared.result()
                next_prepared = begin()
                processed = process(prepared)
                if pending_result is not None:
                    yield pending_result.result()
                pending_result = finish_pool.submit(finish, processed)
            if pending_result is not None:
                yield pending_result.result()
        finally:
            if next_prepared is not None:
                next_prepared.cancel()


class MemoryBudget:
    """Bytes that may be held at once. What is larger than all of it has it alone."""

    def __init__(self, size: int) -> None:
        self._size, self._used = size, 0
        self._changed = threading.Condition()

    @contextmanager
    def reserve(self, amount: int) -> Iterator[None]:
        amount = min(amount, self._size)
        with self._changed:
            self._changed.wait_for(lambda: self._used + amount <= self._size)
            self._used += amount
        try:
            yield
        finally:
            with self._changed:
                self._used -= amount
                self._changed.notify_all()
