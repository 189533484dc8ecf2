"""The signals of worker processes that this library starts. It leaves those of the program that uses it alone."""

import os
import signal
from collections.abc import Callable
from types import FrameType

_cleanups: list[Callable[[], None]] = []


def on_termination(cleanup: Callable[[], None]) -> None:
    """Call `cleanup` in a worker process that is terminated, before it ends."""
    _cleanups.append(cleanup)


def install_signal_handlers() -> None:
    """In a worker process: ignore Ctrl-C, which reaches every process of a terminal, since the parent decides what is
    kept; on SIGTERM run the cleanups, and end."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _end)


def _end(number: int, frame: FrameType | None) -> None:
    for cleanup in _cleanups:
        cleanup()
    signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)
