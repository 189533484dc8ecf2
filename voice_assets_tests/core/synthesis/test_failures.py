"""What fails costs what it must, and no more: utterances, workers, engines, the source."""

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from voice_assets_tests.core.synthesis.scripted_engine import scripted_spec
from voice_assets_tests.core.synthesis.synthesis_helpers import (
    every_backend,
    make_group,
    make_groups,
    make_options,
    sample_bytes,
    worker_pids,
)
from voice_core.synthesis import Backend, SynthesisError, SynthesisFailure, SynthesisStats, UtteranceGroup, synthesise
from voice_core.tts import Speech
from voice_core.tts.base import EngineBrokenError, EngineUnavailableError


@every_backend
def test_a_failed_utterance_affects_only_its_group(backend: Backend, tmp_path: Path) -> None:
    groups = [
        make_group(0, "fine", "bad x"),
        make_group(1, "broken x", "fine"),
        make_group(2, "none x", "flaky x"),
        make_group(3, "y"),
    ]
    stats = SynthesisStats()
    first, second, third, fourth = synthesise(groups, scripted_spec(folder=str(tmp_path)), make_options(backend), stats)
    assert first.failures == (SynthesisFailure("refused", "it cannot be said", attempts=1),)
    assert second.failures == (SynthesisFailure("failed", "RuntimeError: out of luck", attempts=2),)
    assert [failure.reason for failure in third.failures] == ["failed"]
    assert "returned None" in third.failures[0].message
    assert isinstance(third.speeches[1], Speech)
    assert not fourth.failures
    assert (stats.utterances, stats.failures, stats.retries) == (4, 3, 3)


def test_retries_can_be_more_or_none() -> None:
    for retries in (0, 3):
        (spoken,) = synthesise([make_group(0, "broken x")], scripted_spec(), make_options(retries=retries))
        assert spoken.failures[0].attempts == retries + 1


def test_a_worker_that_dies_is_replaced_and_its_utterances_are_spoken(tmp_path: Path) -> None:
    groups = [*make_groups(6), make_group(6, "crash-once x", "y"), *(make_group(n, "x", "y") for n in range(7, 12))]
    stats = SynthesisStats()
    spoken = list(synthesise(groups, scripted_spec(folder=str(tmp_path)), make_options("process"), stats))
    assert [one.key for one in spoken] == [f"{number}" for number in range(12)]
    assert not any(one.failures for one in spoken)
    assert (stats.crashes, stats.retries) == (1, 1)


def test_an_utterance_that_kills_every_worker_becomes_a_failure() -> None:
    spoken = list(
        synthesise([make_group(0, "x", "crash y"), *make_groups(6)[1:]], scripted_spec(), make_options("process"))
    )
    assert [len(one.failures) for one in spoken] == [1, 0, 0, 0, 0, 0]
    assert spoken[0].failures[0] == SynthesisFailure(
        "crashed", "its worker process exited with code -9 on it", attempts=2
    )


def test_workers_killed_from_outside_lose_no_utterance() -> None:
    killed = 0
    out = []
    for spoken in synthesise(
        make_groups(60), scripted_spec(cost_sec=0.01), make_options("process", retries=3, planner_buffer=8)
    ):
        out.append(spoken)
        if len(out) in (10, 25):
            for pid in worker_pids():
                os.kill(pid, signal.SIGKILL)
                killed += 1
    assert killed >= 3
    assert sample_bytes(out) == sample_bytes(list(synthesise(make_groups(60), scripted_spec(), make_options())))


def test_a_worker_that_is_killed_while_idle_fails_no_utterance() -> None:
    def source() -> Iterator[UtteranceGroup]:
        yield from make_groups(3)
        for pid in worker_pids():
            os.kill(pid, signal.SIGKILL)
        time.sleep(0.2)
        yield from make_groups(6)[3:]

    stats = SynthesisStats()
    spoken = list(synthesise(source(), scripted_spec(), make_options("process", planner_buffer=1, retries=0), stats))
    assert sample_bytes(spoken) == sample_bytes(list(synthesise(make_groups(6), scripted_spec(), make_options())))
    assert stats.crashes == 0


@pytest.mark.parametrize("backend", ["serial", "thread"])
def test_an_engine_that_is_lost_ends_the_run_where_all_share_it(backend: Backend) -> None:
    with pytest.raises(EngineBrokenError, match="the GPU is gone"):
        list(synthesise([make_group(0, "x", "lost y"), *make_groups(6)[1:]], scripted_spec(), make_options(backend)))


def test_a_worker_whose_engine_is_lost_is_replaced_and_at_most_one_utterance_fails(tmp_path: Path) -> None:
    groups = [*make_groups(3), make_group(3, "x", "lost-once y"), make_group(4, "lost z", "x"), *make_groups(9)[5:]]
    stats = SynthesisStats()
    spoken = list(synthesise(groups, scripted_spec(folder=str(tmp_path)), make_options("process"), stats))
    assert [len(one.failures) for one in spoken] == [0, 0, 0, 0, 1, 0, 0, 0, 0]
    assert spoken[4].failures[0] == SynthesisFailure("crashed", "the GPU is gone", attempts=2)
    assert stats.crashes == 3


@every_backend
def test_an_engine_that_does_not_load_ends_the_run_with_its_reason(backend: Backend) -> None:
    with pytest.raises((SynthesisError, FileNotFoundError), match="no checkpoint"):
        list(synthesise(make_groups(3), scripted_spec(name="absent"), make_options(backend)))


@every_backend
def test_an_engine_that_finds_out_at_the_first_utterance_that_it_cannot_load_ends_the_run(backend: Backend) -> None:
    with pytest.raises(EngineUnavailableError, match="no weights"):
        list(synthesise([make_group(0, "unavailable x")], scripted_spec(), make_options(backend)))


def test_a_worker_that_dies_while_it_loads_ends_the_run() -> None:
    with pytest.raises(SynthesisError, match="exited with code -9 while loading"):
        list(synthesise(make_groups(3), scripted_spec(name="deadly"), make_options("process")))


@every_backend
def test_an_error_of_the_source_is_raised(backend: Backend) -> None:
    def source() -> Iterator[UtteranceGroup]:
        yield from make_groups(3)
        raise OSError("the disk is gone")

    with pytest.raises(OSError, match="the disk is gone"):
        list(synthesise(source(), scripted_spec(), make_options(backend)))
