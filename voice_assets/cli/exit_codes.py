"""What a command's exit code says, and how an error that ends a command is shown."""

import os
import sqlite3
import tempfile
import traceback
from collections.abc import Iterator

from voice_assets.cli.output import errors, sanitise

ERROR_EXIT_CODE = 2
INTERNAL_ERROR_EXIT_CODE = 70  # EX_SOFTWARE of sysexits.h
_EXPECTED_ERRORS = (ValueError, LookupError, OSError, RuntimeError)
_PROGRAM_ERRORS = (
    KeyError,
    IndexError,
    NotImplementedError,
    RecursionError,
)  # of their kinds; messages are not for people


def report_error(error: Exception) -> int:
    """Say what ended the command; the exit code for it."""
    if isinstance(error, _EXPECTED_ERRORS) and not isinstance(error, _PROGRAM_ERRORS):
        _print_error("error:", f"{type(error).__name__}: {error}")
        return ERROR_EXIT_CODE
    database = next((item for item in _iter_causes(error) if isinstance(item, sqlite3.Error)), None)
    if database is not None:
        _print_error("error:", _describe_database_error(database))
        return ERROR_EXIT_CODE
    _print_error("internal error:", f"{type(error).__name__}: {error}. {_save_traceback(error)}")
    return INTERNAL_ERROR_EXIT_CODE


def _iter_causes(error: BaseException | None) -> Iterator[BaseException]:
    """An error, and what it was raised from."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _describe_database_error(error: sqlite3.Error) -> str:
    """What a database of Dagster's meets, and what to do."""
    home, message = os.environ.get("DAGSTER_HOME", "dagster_home"), str(error)
    remedy = "see whether its databases can be read and written"
    if "full" in message or "disk I/O" in message:
        remedy = "make room on its disk, and run the same command again; what was finished is kept"
    elif "readonly" in message or "unable to open" in message:
        remedy = "set DAGSTER_HOME to a folder that this user may write"
    elif "locked" in message:
        remedy = "another process writes to it for long; run the same command again when that is done"
    return f"Dagster's databases under {home} (DAGSTER_HOME): {message}: {remedy}"


def _save_traceback(error: Exception) -> str:
    """Write the traceback to a file of its own, and say where it is; or return it, where that fails."""
    text = sanitise("".join(traceback.format_exception(error)))
    try:
        with tempfile.NamedTemporaryFile("w", prefix="voice-error-", suffix=".txt", delete=False) as file:
            file.write(text)
    except OSError:
        return f"This is a fault of the program; its traceback:\n{text}"
    return f"This is a fault of the program; its traceback is in {file.name}"


def _print_error(label: str, message: str) -> None:
    errors.print(f"[bold red]{label}[/] ", end="")
    errors.print(message, markup=False, highlight=False, soft_wrap=True)
