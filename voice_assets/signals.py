"""Handles signals to end the process (Ctrl-C, SIGTERM): it ends at once and keeps finished work."""

import signal
from types import FrameType


class Interrupted(BaseException):
    """The process received SIGINT or SIGTERM."""


def install_signal_handlers() -> None:
    """Raise `Interrupted` on both signals, which libraries do not handle as an error."""
    for sign in (signal.SIGINT, signal.SIGTERM):
        signal.signal(sign, _stop)


def _stop(sign: int, frame: FrameType | None) -> None:
    raise Interrupted
