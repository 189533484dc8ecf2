"""The exit codes of commands, and the message of an error that ends a command."""

import os
import sqlite3
import tempfile
import traceback
from collections.abc import Iterator

from voice_assets.cli.output import print_error_line, sanitise
from voice_core.error_text import describe_exception

FAILED_EXIT_CODE = 1  # the command ran, and something failed, is corrupt or was declined
ERROR_EXIT_CODE = 2
INTERNAL_ERROR_EXIT_CODE = 70  # EX_SOFTWARE of sysexits.h
INTERRUPTED_EXIT_CODE = 130  # as of a shell's command that SIGINT ended
_EXPECTED_ERRORS = (ValueError, LookupError, OSError, RuntimeError)
_PROGRAM_ERRORS = (
    KeyError,
    IndexError,
    NotImplementedError,
    RecursionError,
)  # subclasses of those above, whose messages are not meant for users


def report_error(error: Exception) -> int:
    """Print the error that ends the command; returns its exit code."""
    if isinstance(error, _EXPECTED_ERRORS) and not isinstance(error, _PROGRAM_ERRORS):
        print_error_line(describe_exception(error), "error:")
        return ERROR_EXIT_CODE
    database = next((item for item in _iter_causes(error) if isinstance(item, sqlite3.Error)), None)
    if database is not None:
        print_error_line(_describe_database_error(database), "error:")
        return ERROR_EXIT_CODE
    print_error_line(f"{type(error).__name__}: {error}. {_save_traceback(error)}", "internal error:")
    return INTERNAL_ERROR_EXIT_CODE


def _iter_causes(error: BaseException | None) -> Iterator[BaseException]:
    """An error, then what it was raised from, and so on: the innermost is last."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _describe_database_error(error: sqlite3.Error) -> str:
    """The error of one of Dagster's databases, and what to do."""
    home, message = os.environ.get("DAGSTER_HOME", "dagster_home"), str(error)
    remedy = "check that its databases can be read and written"
    if "full" in message or "disk I/O" in message:
        remedy = "free space on its disk and run the same command again; finished work is kept"
    elif "readonly" in message or "unable to open" in message:
        remedy = "set DAGSTER_HOME to a folder that this user can write to"
    elif "locked" in message:
        remedy = "another process is writing to it; run the same command again when that is finished"
    return f"Dagster's databases under {home} (DAGSTER_HOME): {message}: {remedy}"


def _save_traceback(error: Exception) -> str:
    """Write the traceback to a new file; returns a sentence with its path, or with the traceback if that fails."""
    text = sanitise("".join(traceback.format_exception(error)))
    try:
        with tempfile.NamedTemporaryFile("w", prefix="voice-error-", suffix=".txt", delete=False) as file:
            file.write(text)
    except OSError:
        return f"This is a bug; its traceback:\n{text}"
    return f"This is a bug; its traceback is in {file.name}"
