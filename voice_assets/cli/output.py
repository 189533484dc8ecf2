"""The terminal: one console for results, one for errors, progress bars, and what may reach it.

What is shown comes from file names, transcripts and servers: control characters, which a terminal would obey, are shown
escaped, and secrets are removed. Everything that a command prints goes through this module.
"""

import json
import logging
import re
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import rich.console
import typer
from rich.console import ConsoleOptions, RenderableType
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)
from rich.segment import Segment
from rich.text import Text

from voice_core.compute import progress
from voice_core.redaction import redact

# C0 but for tab and newline, DEL, C1, line separators, and what overrides the direction of text.
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")


def escape_control_characters(text: str) -> str:
    """A text with its control characters escaped, as Python writes them.

    >>> print(escape_control_characters(chr(27) + "[31mred, " + chr(0x202E) + "gnp.exe, أثير"))
    \\x1b[31mred, \\u202egnp.exe, أثير
    """
    return _CONTROL.sub(lambda match: repr(match[0])[1:-1], text)


def sanitise(text: str) -> str:
    """A text as it may be shown: no control characters, no secrets."""
    return escape_control_characters(redact(text))


class Console(rich.console.Console):
    """Shows every text as `sanitise` does."""

    def __init__(self, **options: Any) -> None:
        super().__init__(emoji=False, **options)

    def render_str(self, text: str, **options: Any) -> Text:
        return super().render_str(sanitise(text), **options)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        for segment in super().render(renderable, options):
            # Also what did not come as a plain text, such as a bar's label.
            yield segment if segment.control else segment._replace(text=escape_control_characters(segment.text))


console = Console()
errors = Console(stderr=True)


def echo(line: str) -> None:
    """Print a line for programs, with no layout."""
    typer.echo(sanitise(line))


def print_json(value: object) -> None:
    """Print a value as JSON. What a terminal would obey is escaped as JSON allows."""
    text = redact(json.dumps(value, ensure_ascii=False, indent=1))
    typer.echo(_CONTROL.sub(lambda match: f"\\u{ord(match[0]):04x}", text))


def confirm(question: str, *, default: bool = False, abort: bool = False) -> bool:
    """Ask a question that is answered with yes or no."""
    return typer.confirm(sanitise(question), default=default, abort=abort)


@dataclass(slots=True)
class _Bar:
    display: Progress
    id: TaskID

    def advance(self, amount: float = 1.0, note: str = "") -> None:
        self.display.advance(self.id, amount)
        if note:
            self.display.update(self.id, note=escape(sanitise(note)))


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
        return _Bar(
            self._display,
            self._display.add_task(escape(sanitise(label)), total=round(total) or None, unit=unit, note=""),
        )

    def finish(self, task: progress.ProgressTask) -> None:
        assert self._display is not None
        assert isinstance(task, _Bar)
        self._display.remove_task(task.id)
        self._open -= 1
        if self._open == 0:
            self._display.stop()
            self._display = None


class _ToTerminal(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        errors.print(record.getMessage(), markup=False, highlight=False, soft_wrap=True)


def show_warnings() -> None:
    """Print log records of level WARNING and above that no other handler takes."""
    logging.lastResort = _ToTerminal(logging.WARNING)


def show_wait_messages() -> None:
    """Say in the terminal what the program waits for, and what it gave up for dead."""
    for name in (
        "voice_core.compute.gpu_lock",
        "voice_core.storage.distributed_lock",
        "voice_core.compute.workers",
        "voice_assets.concurrency_wait",
        "voice_assets.run_ownership",
    ):
        logger = logging.getLogger(name)
        logger.setLevel(logging.INFO)
        logger.addHandler(_ToTerminal())


def show_progress() -> None:
    """Install progress bars, where somebody looks at the terminal."""
    if errors.is_terminal:
        # As it is now: an engine that turns its package's prints into logs swaps sys.stderr for as long as it speaks.
        errors.file = sys.stderr
        progress.set_reporter(RichReporter())
