"""Servers as processes of their own: started on a free port, ended with the block, or with the process that started
them."""

import contextlib
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO

_ROOT = Path(__file__).parents[2]


def free_port() -> int:
    """A port on 127.0.0.1 that nobody listens on just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def run_python_module(module: str, *arguments: str) -> Iterator[str]:
    """Run a module of this package that prints one line when it is ready; yields that line."""
    command = [sys.executable, "-m", module, *arguments]
    with tempfile.TemporaryFile() as log, _running(command, subprocess.PIPE, log) as process:
        assert process.stdout is not None
        line = process.stdout.readline().decode().strip()
        if not line:
            raise RuntimeError(f"{module} did not start: {_tail(log)}")
        yield line


@contextlib.contextmanager
def run_server(command: Sequence[str], port: int, timeout_sec: float = 30.0) -> Iterator[None]:
    """Run a command and wait until it listens on `port` of 127.0.0.1."""
    guarded = [sys.executable, "-m", "voice_assets_tests.servers.parent_guard", *command]
    with tempfile.TemporaryFile() as log, _running(guarded, log, log) as process:
        deadline = time.monotonic() + timeout_sec
        while not is_listening(port):
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{command[0]} does not listen on port {port}: {_tail(log)}")
            time.sleep(0.02)
        yield


@contextlib.contextmanager
def _running(command: Sequence[str], out: "IO[bytes] | int", log: IO[bytes]) -> "Iterator[subprocess.Popen[bytes]]":
    environment = {**os.environ, "PYTHONPATH": str(_ROOT)}
    # In a session of its own a Ctrl-C does not reach the server before those who still talk to it.
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=out, stderr=log, env=environment, start_new_session=True
    )
    try:
        yield process
    finally:
        assert process.stdin is not None
        process.stdin.close()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if process.stdout is not None:
            process.stdout.close()


def is_listening(port: int) -> bool:
    """Whether something listens at a port of 127.0.0.1."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _tail(log: IO[bytes]) -> str:
    log.seek(0)
    return log.read().decode(errors="replace")[-2000:]
