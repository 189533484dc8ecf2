"""Synthesis that is closed, interrupted or killed leaves nothing behind."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterable
from pathlib import Path

import pytest

from voice_assets_tests.core.synthesis.scripted_engine import scripted_spec
from voice_assets_tests.core.synthesis.synthesis_helpers import (
    every_backend,
    make_group,
    make_groups,
    make_options,
    sample_bytes,
    wait_for_group_exit,
)
from voice_core.synthesis import Backend, SpokenGroup, synthesise


@pytest.mark.parametrize("backend", ["thread", "process"])
def test_closing_ends_workers_within_seconds_and_what_was_yielded_stays(backend: Backend) -> None:
    groups = [*make_groups(3), *(make_group(n, "hang x", "hang y") for n in range(3, 9))]
    options = make_options(backend, planner_buffer=2) if backend == "process" else make_options("thread")
    if backend == "thread":
        groups = make_groups(500)  # a thread cannot be interrupted: it ends with its utterance
    spoken = synthesise(groups, scripted_spec(cost_sec=0.005), options)
    first = next(spoken)
    began = time.monotonic()
    spoken.close()
    assert time.monotonic() - began < 30  # of the 60 that they hang
    assert sample_bytes([first]) == sample_bytes(list(synthesise(make_groups(1), scripted_spec(), make_options())))


def _note_keys(spoken: Iterable[SpokenGroup], out: list[str], timer: threading.Timer) -> None:
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
    groups = [make_group(0, "x", "y"), make_group(1, hanging), *make_groups(6)[2:]]
    before = signal.signal(signal.SIGTERM, raises)
    out: list[str] = []
    began = time.monotonic()
    timer = threading.Timer(0.5 if backend == "thread" else 2.0, os.kill, (os.getpid(), signal.SIGTERM))
    try:
        with pytest.raises(_Asked):
            _note_keys(synthesise(groups, scripted_spec(), make_options(backend)), out, timer)
    finally:
        timer.join()
        signal.signal(signal.SIGTERM, before)
    assert time.monotonic() - began < 40  # of the 60 that it hangs
    assert out[0] == "0"
    assert "1" not in out
    assert len(out) >= 4  # a turn may have lain in the pipe behind the one that hangs
    assert out == sorted(out)


_PROGRAM = """
import os, sys
from voice_assets.signals import Interrupted, install_signal_handlers
from voice_assets_tests.core.synthesis.scripted_engine import scripted_spec
from voice_assets_tests.core.synthesis.synthesis_helpers import make_groups
from voice_core.synthesis import SynthesisOptions, synthesise

if __name__ == "__main__":
    install_signal_handlers()
    try:
        for spoken in synthesise(make_groups(100_000), scripted_spec(cost_sec=0.01), SynthesisOptions(sys.argv[1], 2)):
            print(spoken.key, flush=True)
    except Interrupted:
        sys.exit(130)
"""


@every_backend
@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGTERM])
def test_a_terminated_program_ends_within_seconds(backend: Backend, sign: signal.Signals, tmp_path: Path) -> None:
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
        assert program.wait(30) == 130
        assert time.monotonic() - began < 30
    wait_for_group_exit(program.pid)


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
        program.wait(30)
    wait_for_group_exit(program.pid)
