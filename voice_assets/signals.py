"""How a process that is asked to end (Ctrl-C, SIGTERM) comes to its end: at once, with what is finished kept."""

import signal
from types import FrameType

INTERRUPTED_EXIT_CODE = 130


class Interrupted(BaseException):
    """The process was asked to end."""


def install_signal_handlers() -> None:
    """Turn both signals into `Interrupted`, which no library takes for an error of its own."""
    for sign in (signal.SIGINT, signal.SIGTERM):
        signal.signal(sign, _stop)


def _stop(sign: int, frame: FrameType | None) -> None:
    raise Interrupted
