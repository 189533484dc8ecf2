"""Synthesis over every backend."""

import contextlib
import gc
import itertools
import json
import logging
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from benchmarks.common import process_tree
from voice_assets_tests.core.synthesis.engines import scripted
from voice_assets_tests.processes import group_lives
from voice_core.synthesis import (
    Backend,
    EngineSpec,
    Failure,
    Group,
    Spoken,
    Stats,
    SynthesisError,
    SynthesisOptions,
    synthesise,
)
from voice_core.tts import Speech, Utterance
from voice_core.tts.base import EngineBrokenError, EngineUnavailableError

ALL: tuple[Backend, ...] = ("serial", "thread", "process")
every_backend = pytest.mark.parametrize("backend", ALL)


def _options(backend: Backend = "serial", **fields: object) -> SynthesisOptions:
    return SynthesisOptions(backend=backend, **{"workers": 2, **fields})  # type: ignore[arg-type]


def _group(number: int, *texts: str) -> Group:
    return Group(f"{number}", tuple(Utterance(text, "ab"[place % 2], seed=number) for place, text in enumerate(texts)))


def _dialogues(count: int) -> list[Group]:
    return [_group(number, *(f"turn {number} {place}" for place in range(4))) for number in range(count)]


def _bytes(spoken: list[Spoken]) -> list[tuple[str, list[bytes]]]:
    for one in spoken:
        assert not one.failures
    return [(one.key, [s.audio.tobytes() for s in one.speeches if isinstance(s, Speech)]) for one in spoken]


def _workers() -> set[int]:
    """Child processes that are workers of synthesis."""
    found = set()
    for pid in process_tree(os.getpid())[1:]:
        with contextlib.suppress(OSError):
            if b"multiprocessing.spawn" in Path(f"/proc/{pid}/cmdline").read_bytes():
                found.add(pid)
    return found


def _wait_for_the_end_of(group: int) -> None:
    deadline = time.monotonic() + 5
    while group_lives(group):
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.fixture(autouse=True)
def _nothing_is_left_behind() -> Iterator[None]:
    before = _workers()
    yield
    gc.collect()
    deadline = time.monotonic() + 5
    while (left := _workers() - before) or any(t.name.startswith("synthesis-") for t in threading.enumerate()):
        assert time.monotonic() < deadline, f"left behind: {left}"
        time.sleep(0.05)


@pytest.mark.parametrize("ordered", [True, False])
def test_all_backends_give_the_same_bytes(ordered: bool) -> None:
    spec = scripted(samples=30_000)
    results = {
        backend: sorted(_bytes(list(synthesise(_dialogues(20), spec, _options(backend, ordered=ordered)))))
        for backend in ALL
    }
    assert len(results["serial"]) == 20
    assert results["serial"] == results["thread"] == results["process"]


def test_all_backends_give_the_same_bytes_of_a_real_engine() -> None:
    texts = ["Hello there.", "How are you today?", "Fine, thanks.", "It is raining again."]
    groups = [
        Group(f"{n}", tuple(Utterance(text, voice, seed=n) for text, voice in zip(texts, itertools.cycle(voices))))
        for n, voices in enumerate([("heart", "heart-low"), ("heart-low", "heart")])
    ]
    spec = EngineSpec("hibari", thread_safe=True)
    results = {backend: _bytes(list(synthesise(groups, spec, _options(backend)))) for backend in ALL}
    assert results["serial"] == results["thread"] == results["process"]
    assert len({audio for _, audios in results["serial"] for audio in audios}) == 8


@every_backend
def test_groups_come_in_the_order_of_the_input(backend: Backend) -> None:
    groups = [_group(0, "slow one", "one"), *_dialogues(8)[1:]]
    stats = Stats()
    keys = [spoken.key for spoken in synthesise(groups, scripted(), _options(backend), stats)]
    assert keys == [f"{number}" for number in range(8)]
    assert (stats.groups, stats.utterances, stats.waiting, stats.begun) == (8, 30, 0, 0)


@pytest.mark.parametrize("backend", ["thread", "process"])
def test_groups_come_as_they_are_done_where_order_does_not_matter(backend: Backend) -> None:
    groups = [_group(0, "slow one"), *_dialogues(8)[1:]]
    keys = [spoken.key for spoken in synthesise(groups, scripted(), _options(backend, ordered=False))]
    assert keys[0] != "0"
    assert sorted(keys) == [f"{number}" for number in range(8)]


@every_backend
def test_an_endless_source_is_never_read_further_ahead_than_the_buffer(backend: Backend) -> None:
    read = 0

    def source() -> Iterator[Group]:
        nonlocal read
        for read in itertools.count(1):
            yield _group(read, "x", "y")

    with contextlib.closing(synthesise(source(), scripted(), _options(backend, planner_buffer=5))) as spoken:
        for taken, _ in enumerate(itertools.islice(spoken, 40), start=1):
            assert read <= taken + 5
            if taken % 10 == 0:
                time.sleep(0.02)  # a slow consumer
                assert read <= taken + 5


@every_backend
def test_an_empty_source_and_empty_groups_are_no_trouble(backend: Backend) -> None:
    assert list(synthesise([], scripted(), _options(backend))) == []
    assert list(synthesise([Group("none", ())], scripted(), _options(backend))) == [Spoken("none", ())]


@every_backend
def test_a_failed_utterance_costs_its_group_and_nothing_else(backend: Backend, tmp_path: Path) -> None:
    groups = [_group(0, "fine", "bad x"), _group(1, "broken x", "fine"), _group(2, "none x", "flaky x"), _group(3, "y")]
    stats = Stats()
    first, second, third, fourth = synthesise(groups, scripted(folder=str(tmp_path)), _options(backend), stats)
    assert first.failures == (Failure("refused", "it cannot be said", attempts=1),)
    assert second.failures == (Failure("failed", "RuntimeError: out of luck", attempts=2),)
    assert [failure.reason for failure in third.failures] == ["failed"]
    assert "answered None" in third.failures[0].message
    assert isinstance(third.speeches[1], Speech)
    assert not fourth.failures
    assert (stats.utterances, stats.failures, stats.retries) == (4, 3, 3)


def test_retries_can_be_more_or_none() -> None:
    for retries in (0, 3):
        (spoken,) = synthesise([_group(0, "broken x")], scripted(), _options(retries=retries))
        assert spoken.failures[0].attempts == retries + 1


def test_a_worker_that_dies_is_replaced_and_its_utterances_are_spoken(tmp_path: Path) -> None:
    groups = [*_dialogues(6), _group(6, "crash-once x", "y"), *(_group(n, "x", "y") for n in range(7, 12))]
    stats = Stats()
    spoken = list(synthesise(groups, scripted(folder=str(tmp_path)), _options("process"), stats))
    assert [one.key for one in spoken] == [f"{number}" for number in range(12)]
    assert not any(one.failures for one in spoken)
    assert (stats.crashes, stats.retries) == (1, 1)


def test_an_utterance_that_kills_every_worker_becomes_a_failure() -> None:
    spoken = list(synthesise([_group(0, "x", "crash y"), *_dialogues(6)[1:]], scripted(), _options("process")))
    assert [len(one.failures) for one in spoken] == [1, 0, 0, 0, 0, 0]
    assert spoken[0].failures[0] == Failure("crashed", "its worker process ended with -9 meanwhile", attempts=2)


def test_workers_killed_from_outside_cost_nothing() -> None:
    killed = 0
    out = []
    for spoken in synthesise(_dialogues(60), scripted(cost_sec=0.01), _options("process", retries=3, planner_buffer=8)):
        out.append(spoken)
        if len(out) in (10, 25):
            for pid in _workers():
                os.kill(pid, signal.SIGKILL)
                killed += 1
    assert killed >= 3
    assert _bytes(out) == _bytes(list(synthesise(_dialogues(60), scripted(), _options())))


def test_a_worker_that_is_killed_while_it_has_nothing_to_do_is_blamed_on_nobody() -> None:
    def source() -> Iterator[Group]:
        yield from _dialogues(3)
        for pid in _workers():
            os.kill(pid, signal.SIGKILL)
        time.sleep(0.2)
        yield from _dialogues(6)[3:]

    stats = Stats()
    spoken = list(synthesise(source(), scripted(), _options("process", planner_buffer=1, retries=0), stats))
    assert _bytes(spoken) == _bytes(list(synthesise(_dialogues(6), scripted(), _options())))
    assert stats.crashes == 0


def test_texts_and_audio_that_fill_the_pipes_do_not_wait_for_each_other() -> None:
    def too_long(*_: object) -> None:
        raise TimeoutError

    groups = [_group(number, *(f"{number} {place} " + 200_000 * "x" for place in range(3))) for number in range(2)]
    before = signal.signal(signal.SIGALRM, too_long)
    signal.alarm(30)
    try:
        spoken = list(synthesise(groups, scripted(samples=600_000), _options("process", workers=1)))
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
    assert _bytes(spoken) == _bytes(list(synthesise(groups, scripted(samples=600_000), _options())))


@pytest.mark.parametrize("backend", ["serial", "thread"])
def test_an_engine_that_is_lost_ends_the_run_where_all_share_it(backend: Backend) -> None:
    with pytest.raises(EngineBrokenError, match="the GPU is gone"):
        list(synthesise([_group(0, "x", "lost y"), *_dialogues(6)[1:]], scripted(), _options(backend)))


def test_a_worker_whose_engine_is_lost_is_replaced_and_costs_one_utterance_at_most(tmp_path: Path) -> None:
    groups = [*_dialogues(3), _group(3, "x", "lost-once y"), _group(4, "lost z", "x"), *_dialogues(9)[5:]]
    stats = Stats()
    spoken = list(synthesise(groups, scripted(folder=str(tmp_path)), _options("process"), stats))
    assert [len(one.failures) for one in spoken] == [0, 0, 0, 0, 1, 0, 0, 0, 0]
    assert spoken[4].failures[0] == Failure("crashed", "the GPU is gone", attempts=2)
    assert stats.crashes == 3


@every_backend
def test_an_engine_that_does_not_load_ends_the_run_with_its_reason(backend: Backend) -> None:
    with pytest.raises((SynthesisError, FileNotFoundError), match="no checkpoint"):
        list(synthesise(_dialogues(3), scripted(name="absent"), _options(backend)))


@every_backend
def test_an_engine_that_finds_out_at_the_first_utterance_that_it_cannot_load_ends_the_run(backend: Backend) -> None:
    with pytest.raises(EngineUnavailableError, match="no weights"):
        list(synthesise([_group(0, "unavailable x")], scripted(), _options(backend)))


def test_a_worker_that_dies_while_it_loads_ends_the_run() -> None:
    with pytest.raises(SynthesisError, match="ended with -9 while it loaded"):
        list(synthesise(_dialogues(3), scripted(name="deadly"), _options("process")))


@every_backend
def test_an_error_of_the_source_is_raised(backend: Backend) -> None:
    def source() -> Iterator[Group]:
        yield from _dialogues(3)
        raise OSError("the disk is gone")

    with pytest.raises(OSError, match="the disk is gone"):
        list(synthesise(source(), scripted(), _options(backend)))


@pytest.mark.parametrize("backend", ["thread", "process"])
def test_closing_ends_workers_within_seconds_and_what_was_yielded_stays(backend: Backend) -> None:
    groups = [*_dialogues(3), *(_group(n, "hang x", "hang y") for n in range(3, 9))]
    options = _options(backend, planner_buffer=2) if backend == "process" else _options("thread")
    if backend == "thread":
        groups = _dialogues(500)  # a thread cannot be interrupted: it ends with its utterance
    spoken = synthesise(groups, scripted(cost_sec=0.005), options)
    first = next(spoken)
    began = time.monotonic()
    spoken.close()
    assert time.monotonic() - began < 5
    assert _bytes([first]) == _bytes(list(synthesise(_dialogues(1), scripted(), _options())))


def _note_keys(spoken: Iterable[Spoken], out: list[str], timer: threading.Timer) -> None:
    for one in spoken:
        out.append(one.key)  # as they come: what was yielded before an exception counts
        if len(out) == 1:
            timer.start()


class _Asked(BaseException):
    """As `Stopped` of the programs: raised by a signal, no Exception."""


@pytest.mark.parametrize("backend", ["thread", "process"])
def test_a_signal_while_it_waits_yields_what_is_complete_and_is_then_raised(backend: Backend) -> None:
    def raises(*_: object) -> None:
        raise _Asked

    hanging = "hang x" if backend == "process" else "slow x"
    groups = [_group(0, "x", "y"), _group(1, hanging), *_dialogues(6)[2:]]
    before = signal.signal(signal.SIGTERM, raises)
    out: list[str] = []
    began = time.monotonic()
    timer = threading.Timer(0.5 if backend == "thread" else 2.0, os.kill, (os.getpid(), signal.SIGTERM))
    try:
        with pytest.raises(_Asked):
            _note_keys(synthesise(groups, scripted(), _options(backend)), out, timer)
    finally:
        timer.join()
        signal.signal(signal.SIGTERM, before)
    assert time.monotonic() - began < 15
    assert out[0] == "0"
    assert "1" not in out
    assert len(out) >= 4  # a turn may have lain in the pipe behind the one that hangs
    assert out == sorted(out)


_PROGRAM = """
import os, sys
from voice_assets.stopping import EXIT_CODE, Stopped, stop_when_asked
from voice_assets_tests.core.synthesis.engines import scripted
from voice_assets_tests.core.synthesis.test_synthesis import _dialogues
from voice_core.synthesis import SynthesisOptions, synthesise

if __name__ == "__main__":
    stop_when_asked()
    try:
        for spoken in synthesise(_dialogues(100_000), scripted(cost_sec=0.01), SynthesisOptions(sys.argv[1], 2)):
            print(spoken.key, flush=True)
    except Stopped:
        sys.exit(EXIT_CODE)
"""


@every_backend
@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGTERM])
def test_a_program_that_is_asked_to_end_does_so_within_seconds(
    backend: Backend, sign: signal.Signals, tmp_path: Path
) -> None:
    path = tmp_path / "program.py"
    path.write_text(_PROGRAM)
    root = Path(__file__).parents[3]
    command = [sys.executable, str(path), backend]
    # A group of its own: a terminal's Ctrl-C reaches the workers, too.
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, env={**os.environ, "PYTHONPATH": str(root)}, start_new_session=True
    ) as program:
        assert program.stdout is not None
        assert program.stdout.readline() == b"0\n"
        os.killpg(program.pid, sign)
        began = time.monotonic()
        program.stdout.read()
        assert program.wait(10) == 130
        assert time.monotonic() - began < 8
    _wait_for_the_end_of(program.pid)


def test_workers_end_with_a_program_that_was_killed(tmp_path: Path) -> None:
    path = tmp_path / "program.py"
    path.write_text(_PROGRAM)
    root = Path(__file__).parents[3]
    with subprocess.Popen(
        [sys.executable, str(path), "process"],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(root)},
        start_new_session=True,
    ) as program:
        assert program.stdout is not None
        program.stdout.readline()
        program.kill()
        program.wait(10)
    _wait_for_the_end_of(program.pid)


def test_an_engine_that_is_not_thread_safe_has_one_thread_whatever_was_claimed() -> None:
    spec = scripted(cost_sec=0.001, thread_safe=False)
    claimed = type(spec)(spec.name, spec.options, thread_safe=True)
    stats = Stats()
    spoken = list(synthesise(_dialogues(10), claimed, _options("thread", workers=4), stats))
    assert not any(one.failures for one in spoken)
    assert stats.workers == 1


@every_backend
def test_a_voice_is_taken_up_once_a_window_and_the_engine_agrees(backend: Backend, tmp_path: Path) -> None:
    stats = Stats()
    options = _options(backend, workers=1, planner_buffer=10)
    list(synthesise(_dialogues(60), scripted(folder=str(tmp_path)), options, stats))
    counted = len((tmp_path / "voices").read_text().splitlines())
    assert counted == stats.voice_switches <= 60 / 10 + 1


@every_backend
def test_nothing_is_kept_of_what_was_yielded(backend: Backend) -> None:
    source = (_group(number, "x", "y") for number in range(20_000))
    held = []
    for number, _ in enumerate(synthesise(source, scripted(), _options(backend))):
        if number % 4_000 == 2_000:
            gc.collect()
            held.append(len(gc.get_objects()))
    assert max(held) - held[0] < 1_000


def test_stats_are_logged_as_lines_of_json_on_request(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "voice_core.synthesis.stats"):
        list(synthesise(_dialogues(5), scripted(), _options(log_json=True, log_every_sec=0, total=20)))
    lines = [json.loads(record.getMessage()) for record in caplog.records if record.name.endswith("synthesis.stats")]
    assert len(lines) > 10
    assert lines[-1]["utterances"] == 20
    assert lines[-1]["left_sec"] == 0
    assert 0 < lines[-1]["engine_busy_share"] <= 1
    assert any(line["waiting"] for line in lines)


def test_progress_is_reported_in_utterances_with_queue_and_speed(monkeypatch: pytest.MonkeyPatch) -> None:
    class Reporter:
        def __init__(self) -> None:
            self.done, self.started, self.finished = 0.0, ("", 0.0, ""), 0
            self.notes: list[str] = []

        def start(self, label: str, total: float, unit: str) -> "Reporter":
            self.started = (label, total, unit)
            return self

        def advance(self, amount: float = 1.0, note: str = "") -> None:
            self.done += amount
            self.notes.append(note)

        def finish(self, task: object) -> None:
            self.finished += 1

    reporter = Reporter()
    monkeypatch.setattr("voice_core.progress._reporter", reporter)
    list(synthesise([*_dialogues(5), _group(6, "bad x")], scripted(), _options(total=21)))
    assert (reporter.started, reporter.done, reporter.finished) == (("speech", 21, "utterances"), 21, 1)
    said = [re.fullmatch(r"(\d+) wait, [\d.]+/s, real-time factor [\d.]+", note) for note in reporter.notes]
    assert all(said)
    assert int(said[0][1]) > int(said[-1][1]) == 0  # type: ignore[index]
