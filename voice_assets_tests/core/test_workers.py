"""The pool of worker processes."""

import multiprocessing
import os

import pytest

from voice_core import workers


def _double(number: int) -> int:
    return 2 * number


def _refuse_three(number: int) -> int:
    if number == 3:
        raise ValueError("three is refused")
    return number


def _process_id(number: int) -> int:
    return os.getpid()


@pytest.mark.parametrize("count", [1, 2])
def test_results_come_in_order_or_as_they_are_done(count: int) -> None:
    items = list(range(20))
    assert list(workers.ordered(_double, items, count)) == [2 * item for item in items]
    assert sorted(workers.unordered(_double, items, count)) == [(item, 2 * item) for item in items]


@pytest.mark.parametrize("count", [1, 2])
def test_an_error_of_a_worker_is_raised_here_and_the_pool_goes_on(count: int) -> None:
    with pytest.raises(ValueError, match="three is refused"):
        list(workers.ordered(_refuse_three, range(20), count))
    assert list(workers.ordered(_double, [1, 2], count)) == [2, 4]


def test_one_item_is_worked_on_in_this_process_and_many_are_not() -> None:
    assert list(workers.ordered(_process_id, [1])) == [os.getpid()]
    assert os.getpid() not in list(workers.ordered(_process_id, range(8), 2))


def _use_the_pool() -> None:
    assert list(workers.ordered(_double, range(8), 2)) == [2 * item for item in range(8)]


def test_a_process_that_used_the_pool_ends_without_waiting_for_idle_workers() -> None:
    """Dagster runs steps in such processes."""
    step = multiprocessing.get_context("spawn").Process(target=_use_the_pool)
    step.start()
    step.join(timeout=workers._IDLE_SEC / 2)
    assert step.exitcode == 0
