"""The lock on a host's GPUs, between real processes."""

import logging
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from voice_assets_tests.processes import count_concurrent_holders, read_output_line, run_program
from voice_core.compute import gpu_lock
from voice_core.compute.gpu_lock import hold_gpu, read_gpu_holders, tag_run

_HOLD = """
import sys
from voice_core.compute.gpu_lock import hold_gpu, tag_run
with tag_run("0123456789abcdef"), hold_gpu(sys.argv[1].split(), "encoding news/batch-0007", sys.argv[2]) as name:
    print(name, flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def default_sigterm() -> Iterator[None]:
    """Programs do not inherit that this process ignores SIGTERM, where it does."""
    before = signal.signal(signal.SIGTERM, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGTERM, before)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "locks"
    monkeypatch.setattr(gpu_lock, "DEFAULT_FOLDER", path)
    monkeypatch.setattr(gpu_lock, "POLL_SEC", 0.02)
    return path


def elsewhere(gpus: str) -> AbstractContextManager[subprocess.Popen[str]]:
    """A process that waits for a GPU, prints its name, and holds it until its input ends."""
    return run_program(_HOLD, gpus, str(gpu_lock.DEFAULT_FOLDER))


def _hold_briefly() -> None:
    with hold_gpu(["a"], "another"):
        pass


def test_the_first_free_gpu_is_taken(folder: Path) -> None:
    with elsewhere("a b c") as first, elsewhere("b c") as second:
        assert read_output_line(first) == "a"
        assert read_output_line(second) == "b"
        with hold_gpu(["a", "b", "c"], "encoding") as name:
            assert name == "c"
    assert folder.stat().st_mode & 0o7777 == 0o1777
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o666}


def test_a_waiting_process_logs_the_holder_at_once_and_repeatedly(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(gpu_lock, "LOG_INTERVAL_SEC", 0.2)
    caplog.set_level(logging.INFO, "voice_core")
    with elsewhere("a") as process:
        assert read_output_line(process) == "a"
        threading.Timer(0.7, process.kill).start()
        with hold_gpu(["a"], "encoding news/batch-0008"):
            pass
    messages = [record.message for record in caplog.records]
    holder = rf"encoding news/batch-0007 \(process {process.pid} on .*, user .*, run 01234567\) since 20\d\d-"
    waits = [line for line in messages if line.startswith("encoding news/batch-0008 waits for a GPU: a is held by ")]
    assert len(waits) >= 2
    for line in waits:
        assert re.search(holder, line), line
    assert messages[-1].startswith("encoding news/batch-0008 continues with GPU a after ")


def test_the_gpu_of_a_killed_process_is_free_at_once_and_has_no_holder(folder: Path) -> None:
    with elsewhere("a") as process:
        read_output_line(process)
        (holder,) = read_gpu_holders().values()
        assert holder is not None
        assert (holder.process.pid, holder.purpose) == (process.pid, "encoding news/batch-0007")
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert "batch-0007" in (folder / "a.lock").read_text()  # it had no time to take its name off
        assert read_gpu_holders() == {"a": None}
        started = time.monotonic()
        with hold_gpu(["a"], "encoding"):
            assert time.monotonic() - started < 10
            (mine,) = read_gpu_holders().values()
            assert mine is not None
            assert mine.process.pid == os.getpid()


def test_the_record_of_a_dead_process_is_not_shown_as_the_holder(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "voice_core")
    with elsewhere("a") as process:
        read_output_line(process)
        process.kill()
        process.wait()
    stale = (folder / "a.lock").read_bytes()
    with hold_gpu(["a"], "encoding"):
        (folder / "a.lock").write_bytes(stale)  # as between the lock and the signature of a new holder
        waiting = threading.Thread(target=_hold_briefly)
        waiting.start()
        while not caplog.records:
            time.sleep(0.01)
    assert "a is held by a process that is not known yet" in caplog.records[0].message
    waiting.join(60)
    assert not waiting.is_alive()


def test_a_waiting_process_ends_at_once_when_it_is_terminated(default_sigterm: None) -> None:
    with hold_gpu(["a"], "encoding"), elsewhere("a") as waiting:
        time.sleep(1.0)  # its imports
        waiting.terminate()
        assert waiting.wait(20) == -signal.SIGTERM


def test_a_holder_of_a_gpu_continues_with_it() -> None:
    with hold_gpu(["a", "b"], "outer") as outer:
        with hold_gpu(["b", "a"], "inner") as inner:
            assert (outer, inner) == ("a", "a")
        holder = read_gpu_holders()["a"]
        assert holder is not None
        assert holder.purpose == "outer"
    assert read_gpu_holders() == {"a": None}


def test_a_holder_of_another_gpu_gets_an_error_instead_of_waiting_forever() -> None:
    with (
        hold_gpu(["a"], "outer"),
        pytest.raises(RuntimeError, match="inner holds a and asks for b"),
        hold_gpu(["b"], "inner"),
    ):
        pass


def test_threads_of_one_process_take_turns() -> None:
    assert count_concurrent_holders(lambda number: hold_gpu(["a"], f"thread {number}")) == [1] * 5


def test_a_forked_child_does_not_keep_the_gpu() -> None:
    with hold_gpu(["a"], "encoding"):
        child = os.fork()
        if child == 0:  # pragma: no cover
            time.sleep(30)
            os._exit(0)
    try:
        with elsewhere("a") as process:
            assert read_output_line(process) == "a"
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def test_the_holder_names_its_run() -> None:
    with tag_run("feedbeef-1"), hold_gpu(["a"], "encoding"):
        holder = read_gpu_holders()["a"]
        assert holder is not None
        assert "run feedbeef)" in str(holder)


@pytest.mark.skipif(os.getuid() != 0, reason="needs to become another user")
def test_users_of_a_host_share_its_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    # Once as oneself, since the other user may not read the modules that Python loads on the way.
    once = "with hold_gpu(['own'], 'x', sys.argv[2]): pass"
    become = f"import os, sys\nfrom voice_core.compute.gpu_lock import hold_gpu\n{once}\nos.setuid(65534)"
    with tempfile.TemporaryDirectory(dir="/tmp") as shared:  # pytest's own folders are private
        os.chmod(shared, 0o755)
        monkeypatch.setattr(gpu_lock, "DEFAULT_FOLDER", Path(shared, "locks"))
        with hold_gpu(["a"], "encoding"):
            command = [sys.executable, "-c", f"{become}\n{_HOLD}", "a b", f"{shared}/locks"]
            done = subprocess.run(command, input="", capture_output=True, text=True, check=False, cwd="/")
            assert done.stdout.strip() == "b", done.stderr
        done = subprocess.run(command, input="", capture_output=True, text=True, check=False, cwd="/")
        assert done.stdout.strip() == "a", done.stderr
        with hold_gpu(["b"], "encoding"):  # whose file is the other user's
            pass


def test_an_empty_list_of_gpus_is_an_error() -> None:
    with pytest.raises(ValueError, match="no GPU"), hold_gpu([], "encoding"):
        pass
