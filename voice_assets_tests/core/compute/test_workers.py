"""The pool of worker processes."""

import itertools
import multiprocessing
import os
import random
import signal
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from voice_core.compute import workers


def _double(number: int) -> int:
    return 2 * number


def _refuse_three(number: int) -> int:
    if number == 3:
        raise ValueError("three is refused")
    return number


def _process_id(number: int) -> int:
    return os.getpid()


@pytest.mark.parametrize("count", [1, 2])
def test_results_are_in_order_or_as_they_complete(count: int) -> None:
    items = list(range(20))
    assert list(workers.map_ordered(_double, items, count)) == [2 * item for item in items]
    assert sorted(workers.map_unordered(_double, items, count)) == [(item, 2 * item) for item in items]


@pytest.mark.parametrize("count", [1, 2])
def test_an_error_in_a_worker_is_raised_here_and_the_pool_continues(count: int) -> None:
    with pytest.raises(ValueError, match="three is refused"):
        list(workers.map_ordered(_refuse_three, range(20), count))
    assert list(workers.map_ordered(_double, [1, 2], count)) == [2, 4]


def test_one_item_is_processed_in_this_process_and_many_are_not() -> None:
    assert list(workers.map_ordered(_process_id, [1])) == [os.getpid()]
    assert os.getpid() not in list(workers.map_ordered(_process_id, range(8), 2))


@pytest.mark.parametrize("count", [1, 2])
def test_streamed_items_are_processed_as_they_arrive(count: int) -> None:
    read: list[int] = []
    behind: list[int] = []

    def source() -> Iterator[int]:
        for item in range(40):
            read.append(item)
            yield item

    for done in workers.map_stream(_double, source(), count):
        behind.append(done)
        assert len(read) - len(behind) < 2 * count + 1
    assert sorted(behind) == [2 * item for item in range(40)]


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError])
@pytest.mark.parametrize("count", [1, 2])
def test_items_read_before_an_error_of_the_stream_are_still_yielded(count: int, error: type[BaseException]) -> None:
    def source() -> Iterator[int]:
        yield from range(3)
        raise error

    done: list[int] = []
    with pytest.raises(error):
        done.extend(workers.map_stream(_double, source(), count))
    assert sorted(done) == [0, 2, 4]


def test_an_error_in_a_worker_ends_the_stream_and_the_pool_continues() -> None:
    with pytest.raises(ValueError, match="three is refused"):
        list(workers.map_stream(_refuse_three, range(20), 2))
    assert sorted(workers.map_stream(_double, [1, 2], 2)) == [2, 4]


def test_an_interrupted_stream_yields_the_results_in_flight() -> None:
    signal.signal(signal.SIGALRM, _interrupt)
    done: list[int] = []
    try:
        signal.setitimer(signal.ITIMER_REAL, 1.5)
        with pytest.raises(KeyboardInterrupt):
            done.extend(workers.map_stream(_slowly, itertools.count(), 2))
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
    assert sorted(done) == list(range(len(done)))
    assert done


def _interrupt(sign: int, frame: object) -> None:
    raise KeyboardInterrupt


def _slowly(number: int) -> int:
    time.sleep(0.2)
    return number


def _use_the_pool() -> None:
    assert list(workers.map_ordered(_double, range(8), 2)) == [2 * item for item in range(8)]


def test_a_process_that_used_the_pool_ends_without_waiting_for_idle_workers() -> None:
    """Dagster runs steps in such processes."""
    step = multiprocessing.get_context("spawn").Process(target=_use_the_pool)
    step.start()
    step.join(timeout=workers._IDLE_SEC / 2)
    assert step.exitcode == 0


def _die_once(marker: Path) -> int:
    """Kills its worker the first time."""
    if marker.suffix == ".once" and not marker.exists():
        marker.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return len(marker.stem)


def _die_always(number: int) -> int:
    if number == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return number


def _streamed(function: Callable[[Any], Any], items: Iterable[Any], count: int, **options: Any) -> Iterator[Any]:
    return workers.map_stream(function, iter(items), count, **options)


def _unordered(function: Callable[[Any], Any], items: Iterable[Any], count: int, **options: Any) -> Iterator[Any]:
    return (result for _, result in workers.map_unordered(function, items, count, **options))


@pytest.mark.parametrize("run", [workers.map_ordered, _unordered, _streamed])
def test_a_killed_worker_loses_no_result(run: Callable[..., Iterator[int]], tmp_path: Path) -> None:
    markers = [tmp_path / f"{'x' * number}{'.once' if number in (3, 9) else ''}" for number in range(1, 13)]
    done = list(run(_die_once, markers, 2))
    assert (done if run is workers.map_ordered else sorted(done)) == [*range(1, 13)]
    assert list(workers.map_ordered(_double, [1, 2], 2)) == [2, 4]


@pytest.mark.parametrize("run", [workers.map_ordered, _unordered, _streamed])
def test_an_item_that_kills_each_worker_is_named_and_the_pool_continues(run: Callable[..., Iterator[int]]) -> None:
    with pytest.raises(workers.WorkerKilledError, match=r"processed item 3, .*VOICE_WORKERS"):
        list(run(_die_always, range(12), 2, name=lambda number: f"item {number}"))
    assert list(workers.map_ordered(_double, [1, 2], 2)) == [2, 4]


def test_a_worker_killed_while_idle_loses_nothing() -> None:
    for pid in {*workers.map_ordered(_process_id, range(8), 2)}:
        os.kill(pid, signal.SIGKILL)
    assert list(workers.map_ordered(_double, range(8), 2)) == [2 * item for item in range(8)]


WEIGHTS = st.lists(st.integers(0, 120), max_size=40)


@settings(deadline=None)
@given(WEIGHTS, st.integers(1, 100), st.integers(1, 8), st.integers(0, 6), st.randoms(use_true_random=False))
def test_admission_respects_the_capacity_admits_everything_and_starves_nothing(
    weights: list[int], capacity: int, most: int, patience: int, dice: random.Random
) -> None:
    """A simulation: any item in flight may complete next."""
    waiting = workers.Admission(range(len(weights)), weights.__getitem__, capacity, patience)
    in_flight: list[int] = []
    begun: list[int] = []
    while True:
        while len(in_flight) < most and (admitted := waiting.admit()) is not None:
            item, weight = admitted
            assert weight == weights[item]
            in_flight.append(item)
            begun.append(item)
            total = sum(weights[other] for other in in_flight)
            assert total <= capacity or in_flight == [item]
        if not in_flight:
            break
        waiting.release(weights[in_flight.pop(dice.randrange(len(in_flight)))])
    assert sorted(begun) == list(range(len(weights)))
    first_waiting = 0
    overtaking = 0
    for item in begun:
        if item == first_waiting:
            overtaking = 0
            rest = set(range(len(weights))) - set(begun[: begun.index(item) + 1])
            first_waiting = min(rest, default=0)
        else:
            overtaking += 1
            assert overtaking <= patience


def _heavy(item: tuple[int, int]) -> int:
    return item[1]


@pytest.mark.parametrize("count", [1, 3])
def test_items_with_weights_are_all_processed_and_heavy_ones_alone(count: int) -> None:
    items = list(enumerate([50, 900, 60, 40, 120, 70, 30]))
    done = workers.map_unordered(_heavy, items, count, weigh=_heavy, capacity=100)
    assert sorted(done) == sorted((item, item[1]) for item in items)
