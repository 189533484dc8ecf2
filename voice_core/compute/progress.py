"""Progress of long steps: lines in the log, or another reporter that the program sets."""

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

_log = logging.getLogger(__name__)


class ProgressTask(Protocol):
    def advance(self, amount: float = 1.0, note: str = "") -> None:
        """Add completed units. `note` is shown beside the progress until the next note."""
        ...


class ProgressReporter(Protocol):
    def start(self, label: str, total: float, unit: str) -> ProgressTask: ...
    def finish(self, task: ProgressTask) -> None: ...


class LogTask:
    """Logs a line at most every `every_sec` seconds, and a last line if any was logged."""

    def __init__(self, label: str, total: float, unit: str, every_sec: float = 10.0) -> None:
        self._label, self._total, self._unit, self._every_sec = label, total, unit, every_sec
        self._done = 0.0
        self._note = ""
        self._started = self._logged = time.monotonic()

    def advance(self, amount: float = 1.0, note: str = "") -> None:
        self._done += amount
        self._note = note or self._note
        now = time.monotonic()
        if now - self._logged >= self._every_sec:
            self._logged = now
            self.log(now)

    def log(self, now: float) -> None:
        share = self._done / self._total if self._total else 1.0
        elapsed = now - self._started
        left = f", {elapsed / share - elapsed:.0f} s left" if 0 < share < 1 else ""
        note = f"; {self._note}" if self._note else ""
        _log.info(
            "%s: %.0f of %.0f %s (%.0f %%), %.0f s%s%s",
            self._label, self._done, self._total, self._unit, 100 * share, elapsed, left, note,
        )  # fmt: skip

    @property
    def has_logged(self) -> bool:
        return self._logged > self._started


class LogReporter:
    def start(self, label: str, total: float, unit: str) -> ProgressTask:
        return LogTask(label, total, unit)

    def finish(self, task: ProgressTask) -> None:
        if isinstance(task, LogTask) and task.has_logged:
            task.log(time.monotonic())


_reporter: ProgressReporter = LogReporter()


def set_reporter(reporter: ProgressReporter) -> None:
    """Send the progress of this process to `reporter` from now on."""
    global _reporter
    _reporter = reporter


@contextmanager
def track(label: str, total: float, unit: str) -> Iterator[ProgressTask]:
    """Report a step of `total` units of work: `with track("segments", 12, "recordings") as task: task.advance()`."""
    reporter = _reporter
    task = reporter.start(label, total, unit)
    try:
        yield task
    finally:
        reporter.finish(task)
