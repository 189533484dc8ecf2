"""Engines stay loaded from one batch to the next."""

import contextlib
import time
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
from voice_core.synthesis import Backend, EnginePool, SynthesisStats, synthesise, thread_workers


@every_backend
def test_batches_follow_one_another_over_the_same_engines(backend: Backend, tmp_path: Path) -> None:
    before = worker_pids()
    with EnginePool(scripted_spec(folder=str(tmp_path)), make_options(backend, workers=1)) as studio:
        assert not (tmp_path / "voices").exists()
        said = []
        crews = set()
        for number in range(3):
            stats = SynthesisStats()
            batch = make_groups(3 * number + 3)[3 * number :]
            said += list(studio.synthesise(batch, stats, make_options(backend, total=12)))
            crews.add(frozenset(worker_pids() - before))
            assert (stats.utterances, stats.groups, stats.total, stats.workers) == (12, 3, 12, 1)
            assert 0 < stats.engine_busy_share <= 1
        assert len(crews) == 1
    assert worker_pids() == before
    assert sample_bytes(said) == sample_bytes(list(synthesise(make_groups(9), scripted_spec(), make_options())))
    taken_up = [line.split()[1] for line in (tmp_path / "voices").read_text().splitlines()]
    assert taken_up == ["a", "b", "a", "b"]  # a batch begins with the voice that the one before ended with


@every_backend
def test_a_batch_that_is_left_half_way_does_not_spoil_the_next(backend: Backend) -> None:
    with EnginePool(scripted_spec(cost_sec=0.005), make_options(backend)) as studio:
        with contextlib.closing(studio.synthesise(make_groups(100))) as spoken:
            next(spoken)
        assert sample_bytes(list(studio.synthesise(make_groups(4)))) == sample_bytes(
            list(synthesise(make_groups(4), scripted_spec(), make_options()))
        )


def test_a_pool_without_an_utterance_loads_no_engine() -> None:
    with EnginePool(scripted_spec(name="absent"), make_options("thread")):
        pass


@pytest.mark.parametrize("backend", ["thread", "process"])
def test_engines_wait_for_one_who_does_not_listen(backend: Backend, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(thread_workers, "MAX_UNREAD_RESULTS", 8)
    said = 0

    put = thread_workers.EventQueue.put

    def counted(reports: thread_workers.EventQueue, report: thread_workers.WorkerEvent) -> None:
        nonlocal said
        said += isinstance(report, thread_workers.TaskResult)
        put(reports, report)

    monkeypatch.setattr(thread_workers.EventQueue, "put", counted)
    groups = [make_group(number, "x") for number in range(100)]
    spoken = synthesise(groups, scripted_spec(), make_options(backend, workers=1, planner_buffer=100))
    first = next(spoken)
    before = said
    time.sleep(0.5)
    assert before < said <= before + 8 + 2  # and what was begun
    assert len(sample_bytes([first, *spoken])) == 100
