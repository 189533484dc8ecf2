"""The terminal: a console for results, one for errors, progress bars, and the sanitising of everything printed.

Output contains file names, text of transcripts and messages of servers: control characters, which a terminal would
interpret, are escaped, and secrets are removed. Everything that a command prints goes through this module.
"""

import json
import logging
import re
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

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
from voice_core.language import pluralize
from voice_core.redaction import redact

T = TypeVar("T")

# C0 but for tab and newline, DEL, C1, line separators, and what overrides the direction of text.
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")


def escape_control_characters(text: str) -> str:
    """A text with its control characters escaped, as Python writes them.

    >>> print(escape_control_characters(chr(27) + "[31mred, " + chr(0x202E) + "gnp.exe, أثير"))
    \\x1b[31mred, \\u202egnp.exe, أثير
    """
    return _CONTROL.sub(lambda match: repr(match[0])[1:-1], text)


def sanitise(text: str) -> str:
    """A text without control characters and secrets."""
    return escape_control_characters(redact(text))


class Console(rich.console.Console):
    """A console that sanitises every text."""

    def __init__(self, **options: Any) -> None:
        super().__init__(emoji=False, **options)

    def render_str(self, text: str, **options: Any) -> Text:
        return super().render_str(sanitise(text), **options)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        for segment in super().render(renderable, options):
            # Also texts that are not plain strings, such as the label of a progress bar.
            yield segment if segment.control else segment._replace(text=escape_control_characters(segment.text))


console = Console()
errors = Console(stderr=True)


def echo(line: str) -> None:
    """Print a line for programs, with no layout."""
    typer.echo(sanitise(line))


def print_line(line: str) -> None:
    """Print a line that may contain brackets, URLs and paths: without markup, colours or line breaks of ours."""
    console.print(line, markup=False, highlight=False, soft_wrap=True)


def print_error_line(line: str, label: str = "", style: str = "bold red") -> None:
    """Print a line on standard error in the same way, after a coloured label."""
    if label:
        errors.print(f"[{style}]{escape(label)}[/] ", end="")
    errors.print(line, markup=False, highlight=False, soft_wrap=True)


def print_warning_line(line: str, label: str = "warning:") -> None:
    """Print a line on standard error after a yellow label."""
    print_error_line(line, label, "yellow")


def take_first(items: Sequence[T], limit: int, noun: str = "") -> tuple[Sequence[T], str]:
    """The first items, and a text about the number of the others; empty if there are none.

    >>> take_first(["a", "b", "c"], 2, "file"), take_first(["a", "b", "c"], 1, "file")
    ((['a', 'b'], 'and 1 more file'), (['a'], 'and 2 more files'))
    >>> take_first(["a", "b", "c"], 2), take_first(["a"], 2)
    ((['a', 'b'], 'and 1 more'), (['a'], ''))
    """
    more = len(items) - limit
    text = pluralize(more, f"more {noun}") if noun else f"{more:,} more"
    return items[:limit], f"and {text}" if more > 0 else ""


def print_first(lines: Sequence[str], limit: int, label: str, *, noun: str = "", rest: str = "") -> None:
    """Print the first lines as warnings, and how many more there are. `rest` says where all of them are."""
    shown, more = take_first(lines, limit, noun)
    for line in shown:
        print_warning_line(line, label)
    if more:
        print_warning_line(f"{more}{rest}", label)


def format_speed(audio_sec: float, wall_sec: float) -> str:
    """A speed as a multiple of real time, to be appended to a line; empty if there was no audio.

    >>> format_speed(3600, 2), format_speed(0, 2)
    (', 1,800.0 × real time', '')
    """
    return f", {audio_sec / wall_sec:,.1f} × real time" if audio_sec else ""


def print_json(value: object) -> None:
    """Print a value as JSON. Control characters are escaped as JSON allows."""
    text = redact(json.dumps(value, ensure_ascii=False, indent=1))
    typer.echo(_CONTROL.sub(lambda match: f"\\u{ord(match[0]):04x}", text))


def confirm(question: str, *, default: bool = False, abort: bool = False) -> bool:
    """Ask a yes-or-no question."""
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
    """Progress bars on standard error while tasks are in progress."""

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
    """Print log records of level WARNING and above that have no other handler."""
    logging.lastResort = _ToTerminal(logging.WARNING)


def show_wait_messages() -> None:
    """Print log messages about waiting for locks and pools, killed runs and workers, and the number of workers."""
    for name in (
        "voice_core.compute.gpu_lock",
        "voice_core.storage.distributed_lock",
        "voice_core.compute.workers",
        "voice_core.audiobook.speech",
        "voice_assets.pool_wait",
        "voice_assets.run_ownership",
    ):
        logger = logging.getLogger(name)
        logger.setLevel(logging.INFO)
        logger.addHandler(_ToTerminal())


def show_progress() -> None:
    """Install progress bars if standard error is a terminal."""
    if errors.is_terminal:
        # The present stream: an engine that turns prints of its package into logs replaces sys.stderr during synthesis.
        errors.file = sys.stderr
        progress.set_reporter(RichReporter())
