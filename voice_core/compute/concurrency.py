"""Concurrent work in threads of one process, with bounded memory."""

import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from itertools import islice
from typing import TypeVar

_QUEUED_PER_THREAD = 3  # items per thread that are running or waiting

Item = TypeVar("Item")
Prepared = TypeVar("Prepared")
Processed = TypeVar("Processed")
Result = TypeVar("Result")


def map_concurrently(function: Callable[[Item], Result], items: Iterable[Item], count: int) -> Iterator[Result]:
    """Yield `function(item)` of each item as it completes, with `count` threads.

    No further items are started after an exception of `function`, which is raised here, or when the caller stops.
    """
    source = iter(items)
    with ThreadPoolExecutor(count, thread_name_prefix="concurrent") as pool:
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
    """Yield `finish(process(prepare(item)))` in order. Up to three items are in progress, one in each function.

    `process` is called in this thread, the others in a thread each. An exception of any of them is raised here.
    """
    source = iter(items)
    with ThreadPoolExecutor(1, "prepare") as prepare_pool, ThreadPoolExecutor(1, "finish") as finish_pool:

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
    """Limits the bytes that are held at once. A larger amount than the whole budget takes all of it."""

    def __init__(self, size: int) -> None:
        self._size, self._used = size, 0
        self._changed = threading.Condition()

    @contextmanager
    def reserve(self, amount: int) -> Iterator[None]:
        """Hold `amount` bytes within the block. Waits while too little is left."""
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
