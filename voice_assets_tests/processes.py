"""Python programs as processes of their own, and threads that want the same."""

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager


@contextmanager
def run_program(code: str, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """A process that runs `code`, and is killed when the block ends."""
    process = subprocess.Popen(
        [sys.executable, "-c", code, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def read_output_line(process: subprocess.Popen[str]) -> str:
    """The next line that it prints; waited for."""
    assert process.stdout is not None
    return process.stdout.readline().strip()


def process_group_alive(group: int) -> bool:
    """Whether a process of this process group lives."""
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


def kill_process_group(group: int) -> None:
    """Kill all processes of this process group; none may be left of it."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(group, signal.SIGKILL)


def wait_until(
    what: str,
    happened: Callable[[], object],
    seconds: float = 120.0,
    *,
    describe: Callable[[], str] = lambda: "",
    poll_sec: float = 0.05,
) -> None:
    """Poll until something holds. Raises `AssertionError` with what was waited for, and `describe`, after `seconds`."""
    deadline = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < deadline, f"{what}: not within {seconds:.0f} s {describe()}".rstrip()
        time.sleep(poll_sec)


def count_concurrent_holders(hold: Callable[[int], AbstractContextManager[object]], threads: int = 5) -> list[int]:
    """How many of these threads were inside whenever one came in; each stays for 20 ms."""
    inside: list[int] = []
    together: list[int] = []

    def work(number: int) -> None:
        with hold(number):
            inside.append(number)
            together.append(len(inside))
            time.sleep(0.02)
            inside.remove(number)

    workers = [threading.Thread(target=work, args=(number,)) for number in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return together
