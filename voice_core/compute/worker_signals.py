"""Signal handlers of worker processes that this library starts. The caller's own process keeps its handlers."""

import os
import signal
from collections.abc import Callable
from types import FrameType

_cleanups: list[Callable[[], None]] = []


def on_termination(cleanup: Callable[[], None]) -> None:
    """Call `cleanup` in a worker process that is terminated, before it ends."""
    _cleanups.append(cleanup)


def install_signal_handlers() -> None:
    """In a worker process: ignore Ctrl-C, and run the cleanups on SIGTERM before ending.

    Ctrl-C reaches every process of a terminal; the parent process decides which results are kept.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _end)


def _end(number: int, frame: FrameType | None) -> None:
    for cleanup in _cleanups:
        cleanup()
    signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)
