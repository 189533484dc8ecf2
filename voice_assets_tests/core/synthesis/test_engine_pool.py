"""Engines stay loaded from one batch to the next."""

import contextlib
import time
from pathlib import Path

import pytest

from voice_assets_tests.core.synthesis.engines import scripted
from voice_assets_tests.core.synthesis.groups import (
    dialogues_of,
    every_backend,
    group_of,
    options_of,
    samples_of,
    worker_pids,
)
from voice_core.synthesis import Backend, Stats, Studio, synthesise, thread_workers


@every_backend
def test_batches_follow_one_another_over_the_same_engines(backend: Backend, tmp_path: Path) -> None:
    before = worker_pids()
    with Studio(scripted(folder=str(tmp_path)), options_of(backend, workers=1)) as studio:
        assert not (tmp_path / "voices").exists()
        said = []
        crews = set()
        for number in range(3):
            stats = Stats()
            batch = dialogues_of(3 * number + 3)[3 * number :]
            said += list(studio.speak(batch, stats, options_of(backend, total=12)))
            crews.add(frozenset(worker_pids() - before))
            assert (stats.utterances, stats.groups, stats.total, stats.workers) == (12, 3, 12, 1)
            assert 0 < stats.engine_busy_share <= 1
        assert len(crews) == 1
    assert worker_pids() == before
    assert samples_of(said) == samples_of(list(synthesise(dialogues_of(9), scripted(), options_of())))
    taken_up = [line.split()[1] for line in (tmp_path / "voices").read_text().splitlines()]
    assert taken_up == ["a", "b", "a", "b"]  # a batch begins with the voice that the one before ended with


@every_backend
def test_a_batch_that_is_left_half_way_does_not_spoil_the_next(backend: Backend) -> None:
    with Studio(scripted(cost_sec=0.005), options_of(backend)) as studio:
        with contextlib.closing(studio.speak(dialogues_of(100))) as spoken:
            next(spoken)
        assert samples_of(list(studio.speak(dialogues_of(4)))) == samples_of(
            list(synthesise(dialogues_of(4), scripted(), options_of()))
        )


def test_a_studio_in_which_nothing_is_said_loads_nothing() -> None:
    with Studio(scripted(name="absent"), options_of("thread")):
        pass


@pytest.mark.parametrize("backend", ["thread", "process"])
def test_engines_wait_for_one_who_does_not_listen(backend: Backend, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(thread_workers, "MOST_UNHEARD", 8)
    said = 0

    put = thread_workers.Reports.put

    def counted(reports: thread_workers.Reports, report: thread_workers.Report) -> None:
        nonlocal said
        said += isinstance(report, thread_workers.Outcome)
        put(reports, report)

    monkeypatch.setattr(thread_workers.Reports, "put", counted)
    groups = [group_of(number, "x") for number in range(100)]
    spoken = synthesise(groups, scripted(), options_of(backend, workers=1, planner_buffer=100))
    first = next(spoken)
    before = said
    time.sleep(0.5)
    assert before < said <= before + 8 + 2  # and what was begun
    assert len(samples_of([first, *spoken])) == 100
