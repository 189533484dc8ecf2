"""The signals of worker processes that this library starts. It leaves those of the program that uses it alone."""

import os
import signal
from types import FrameType

from voice_core.storage.scratch import empty_rooms


def handle_signals() -> None:
    """In a worker process: ignore Ctrl-C, which reaches every process of a terminal, since the parent decides what is
    kept; on SIGTERM remove the local copies, and end."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _end)


def _end(number: int, frame: FrameType | None) -> None:
    empty_rooms()
    signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)
