"""The terminal: one console for results, one for errors, and progress bars."""

import logging
import sys
from dataclasses import dataclass

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)

from voice_core import progress

console = Console()
errors = Console(stderr=True)


@dataclass(slots=True)
class _Bar:
    display: Progress
    id: TaskID

    def advance(self, amount: float = 1.0, note: str = "") -> None:
        self.display.advance(self.id, amount)
        if note:
            self.display.update(self.id, note=note)


class RichReporter:
    """Progress bars on standard error while there is something to show; plain logging elsewhere."""

    def __init__(self) -> None:
        self._display: Progress | None = None
        self._open = 0

    def start(self, label: str, total: float, unit: str) -> _Bar:
        if self._display is None:
            self._display = Progress(
                SpinnerColumn(),
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TextColumn("{task.fields[unit]}"),
                TimeRemainingColumn(),
                TextColumn("{task.fields[note]}"),
                console=errors,
                transient=True,
            )
            self._display.start()
        self._open += 1
        return _Bar(self._display, self._display.add_task(label, total=round(total) or None, unit=unit, note=""))

    def finish(self, task: progress.Task) -> None:
        assert self._display is not None
        assert isinstance(task, _Bar)
        self._display.remove_task(task.id)
        self._open -= 1
        if self._open == 0:
            self._display.stop()
            self._display = None


class _ToTerminal(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        errors.print(record.getMessage(), markup=False, highlight=False)


def show_waits() -> None:
    """Say in the terminal what the program waits for, and what it gave up for dead."""
    for name in (
        "voice_core.gpu_lock",
        "voice_core.lease",
        "voice_core.workers",
        "voice_assets.pool_watch",
        "voice_assets.run_process",
    ):
        logger = logging.getLogger(name)
        logger.setLevel(logging.INFO)
        logger.addHandler(_ToTerminal())


def show_progress() -> None:
    """Install progress bars, where somebody looks at the terminal."""
    if errors.is_terminal:
        # As it is now: an engine that turns its package's prints into logs swaps sys.stderr for as long as it speaks.
        errors.file = sys.stderr
        progress.install(RichReporter())
