"""How a process that is asked to end (Ctrl-C, SIGTERM) comes to its end: at once, with what is finished kept."""

import signal
from types import FrameType

EXIT_CODE = 130


class Stopped(BaseException):
    """The process was asked to end."""


def stop_when_asked() -> None:
    """Turn both signals into `Stopped`, which no library takes for an error of its own."""
    for sign in (signal.SIGINT, signal.SIGTERM):
        signal.signal(sign, _stop)


def _stop(sign: int, frame: FrameType | None) -> None:
    raise Stopped
