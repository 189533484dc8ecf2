"""The output that a package prints, as log lines."""

import contextlib
import io
import logging
import re
import sys
import warnings
from collections.abc import Iterator
from typing import TextIO

_PROBLEM = re.compile(r"warn|fail|error", re.IGNORECASE)


@contextlib.contextmanager
def capture_output(log: logging.Logger, level: int = logging.INFO) -> Iterator[list[warnings.WarningMessage]]:
    """Send lines printed within the block to `log`: at `level`, and as warnings if they mention a warning, failure or
    error. Yields the list of the Python warnings so far, which are logged too.

    Standard output and error belong to the process, so the output of other threads is logged as well. A progress bar is
    one line, in its last state. Changes that the package makes to the warnings filters are undone.
    """
    lines = _LogStream(log, level, sys.stderr)
    warned: list[warnings.WarningMessage] = []
    try:
        with (
            warnings.catch_warnings(record=True) as warned,
            contextlib.redirect_stdout(lines),
            contextlib.redirect_stderr(lines),
        ):
            warnings.simplefilter("always")
            yield warned
    finally:
        lines.finish()
        for item in warned:
            # The others are for developers of the package, and come with every call.
            log.log(logging.WARNING if issubclass(item.category, RuntimeWarning) else logging.DEBUG, "%s", item.message)


class _LogStream(io.TextIOBase):
    """A stream whose lines are logged; a carriage return restarts the line, as on a terminal."""

    encoding = "utf-8"

    def __init__(self, log: logging.Logger, level: int, beneath: TextIO) -> None:
        self._log, self._level, self._beneath = log, level, beneath
        self._line, self._rewind, self._passthrough = "", False, False

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        # Pass through: within a log handler that writes to the current standard error, and after the end, since a
        # handler that the package created may still have this stream.
        if self._passthrough:
            return self._beneath.write(text)
        for part in re.split(r"([\r\n])", text):
            if part == "\n":
                self._emit()
            elif part == "\r":
                self._rewind = True
            elif part:
                self._line, self._rewind = part if self._rewind else self._line + part, False
        return len(text)

    def finish(self) -> None:
        self._emit()
        self._passthrough = True

    def _emit(self) -> None:
        line, self._line, self._rewind = self._line.strip(), "", False
        if not line:
            return
        self._passthrough = True
        try:
            self._log.log(logging.WARNING if _PROBLEM.search(line) else self._level, "%s", line)
        finally:
            self._passthrough = False
