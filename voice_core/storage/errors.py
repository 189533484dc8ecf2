"""How stores fail: what is raised, what is tried again, and what a person is told."""

import errno
import random
import re
import time

from obstore.exceptions import (
    AlreadyExistsError,
    InvalidPathError,
    PermissionDeniedError,
    PreconditionError,
    UnauthenticatedError,
)

from voice_core.redaction import redact
from voice_core.storage.diagnosis import DENIED, Diagnosis, diagnose, root_cause_message

_FIRST_PAUSE_SEC, _LONGEST_PAUSE_SEC = 0.2, 5.0
# What the client below does not try again by itself, in its own words.
_TRANSIENT = (
    "error decoding response body",  # the connection ended within a body
    "request or response body error",
    "end of file before message length reached",
    "connection closed before message completed",
    "connection reset",
    "broken pipe",
    "error sending request",
    "429 Too Many Requests",
    "SlowDown",
    "500 Internal Server Error",
    "502 Bad Gateway",
    "503 Service Unavailable",
    "504 Gateway Timeout",
    "RequestTimeout",  # S3: the body did not arrive in time
    "operation timed out",
    "short body",  # ours
)
_CLIENT_RETRIES = re.compile(r"in (?P<sec>[0-9.]+)s, after [0-9]+ retries")
_RETRY_LIMIT_SEC = 60.0


class StoreError(OSError):
    """An object could not be read or written. The message names the operation, the key and the reason, no secrets."""

    def __init__(self, message: str) -> None:
        super().__init__(redact(message))


class ObjectNotFoundError(StoreError):
    """There is no object under this key."""


class AccessDeniedError(StoreError):
    """The store knows us not, or does not let us do this."""


class ConflictError(StoreError):
    """The object is there already, or is no longer the one that it was. Somebody else was faster."""


def to_store_error(error: Exception, what: str, url: str, key: str) -> StoreError:
    """What a person is told of an error of obstore, of the file system, or of a key that is no path."""
    where = f"{what} {url}/{key}"
    trouble = diagnose(root_cause_message(error), url) if not url.startswith("file:") else None
    if isinstance(error, FileNotFoundError) and "NoSuchBucket" not in str(error):
        return ObjectNotFoundError(f"{where}: not found")
    if isinstance(error, AlreadyExistsError | PreconditionError | FileExistsError):
        return ConflictError(f"{where}: somebody else wrote it meanwhile")
    denied = isinstance(error, PermissionDeniedError | UnauthenticatedError | PermissionError)
    if denied or (trouble is not None and trouble.what == DENIED):
        return AccessDeniedError(f"{where}: {describe_error(trouble or 'access denied', error)}")
    if isinstance(error, InvalidPathError):
        return StoreError(f"{where}: this key cannot be stored ({_first_line(error)})")
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        return StoreError(f"{where}: the disk is full; free some space and run again, nothing is lost")
    return StoreError(f"{where}: {describe_error(trouble, error)}")


def is_transient(error: Exception) -> bool:
    """Whether to try again; what the client below has tried for long enough is not."""
    text = str(error)
    tried = _CLIENT_RETRIES.search(text)
    exhausted = tried is not None and float(tried["sec"]) > _RETRY_LIMIT_SEC
    return not exhausted and any(sign.lower() in text.lower() for sign in _TRANSIENT)


def sleep_before_retry(tries: int) -> None:
    """Wait a moment before the next try."""
    pause_sec = min(_FIRST_PAUSE_SEC * 2 ** (tries - 1), _LONGEST_PAUSE_SEC)
    time.sleep(pause_sec * random.uniform(0.5, 1.5))


def describe_error(trouble: Diagnosis | str | None, error: Exception) -> str:
    """What is wrong and what to do, and in parentheses what the store said."""
    return f"{trouble} ({_first_line(error)})" if trouble else _first_line(error)


def _first_line(error: Exception) -> str:
    return str(error).strip().split("\n", 1)[0]
