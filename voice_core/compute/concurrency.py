"""Many requests in flight from one process, in bounded memory."""

import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from itertools import islice
from typing import TypeVar

_WAITING = 3  # items a thread that are running or wait to run

Item = TypeVar("Item")
Middle = TypeVar("Middle")
Late = TypeVar("Late")
Result = TypeVar("Result")


def in_flight(function: Callable[[Item], Result], items: Iterable[Item], count: int) -> Iterator[Result]:
    """Yield `function(item)` of each item as it is done, with `count` threads.

    An exception of `function` is raised here; what has not begun by then, or when the caller stops, is not begun.
    """
    source = iter(items)
    with ThreadPoolExecutor(count, thread_name_prefix="flight") as pool:
        running: set[Future[Result]] = set()
        try:
            while True:
                running.update(pool.submit(function, item) for item in islice(source, _WAITING * count - len(running)))
                if not running:
                    return
                done, running = wait(running, return_when=FIRST_COMPLETED)
                for future in done:
                    yield future.result()
        finally:
            for future in running:
                future.cancel()


def staged(
    items: Iterable[Item],
    before: Callable[[Item], Middle],
    during: Callable[[Middle], Late],
    after: Callable[[Late], Result],
) -> Iterator[Result]:
    """Yield `after(during(before(item)))` in order, where three items are at work at a time, one in each of the three.

    `during` is called here, the others in a thread each. An exception of any of them is raised here.
    """
    source = iter(items)
    with ThreadPoolExecutor(1, "before") as ahead, ThreadPoolExecutor(1, "after") as behind:

        def begin() -> Future[Middle] | None:
            return next((ahead.submit(before, item) for item in source), None)

        coming, going = begin(), None
        try:
            while coming is not None:
                middle = coming.result()
                coming = begin()
                late = during(middle)
                if going is not None:
                    yield going.result()
                going = behind.submit(after, late)
            if going is not None:
                yield going.result()
        finally:
            if coming is not None:
                coming.cancel()


class Budget:
    """Bytes that may be held at once. What is larger than all of it has it alone."""

    def __init__(self, size: int) -> None:
        self._size, self._used = size, 0
        self._changed = threading.Condition()

    @contextmanager
    def taken(self, amount: int) -> Iterator[None]:
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
