"""Calls of the hub's client: transient failures are retried, and errors say what a person can do about them.

`huggingface_hub` retries only its uploads and downloads by itself; tenacity repeats the other calls.
"""

import logging
import re
from collections.abc import Callable, Mapping
from typing import TypeVar

from huggingface_hub.errors import HTTPError
from tenacity import (
    RetryCallState,
    Retrying,
    retry_if_exception_type,
    stop_after_attempt,
    stop_any,
    wait_exponential,
)
from tenacity.stop import stop_base

from voice_core.publish.errors import HubAccessError, HubConflictError, HubError, HubUnavailableError
from voice_core.redaction import redact, redact_error

MAX_CALL_ATTEMPTS = 5
RETRIED_STATUSES = {408, 429, 500, 502, 503, 504}
_MAX_WAIT_SEC = 330.0  # the hub counts requests in windows of five minutes
_log = logging.getLogger(__name__)
T = TypeVar("T")


class RetryingCaller:
    """Makes calls. `where` names the repository in messages; `wait_sec` is the first pause, which then doubles."""

    def __init__(self, where: str, token: str, wait_sec: float) -> None:
        self._where, self._token = where, token
        self._wait = wait_exponential(multiplier=wait_sec)

    def __call__(
        self,
        what: str,
        call: Callable[[], T],
        *,
        max_attempts: int = MAX_CALL_ATTEMPTS,
        reraise: tuple[type[Exception], ...] = (),
    ) -> T:
        """The call's result. Errors listed in `reraise` are raised unchanged, the others as a `HubError`."""
        retrying = Retrying(
            retry=retry_if_exception_type(HubUnavailableError),
            wait=self._pause_sec,
            stop=stop_any(stop_after_attempt(max_attempts), _StopAtLongPause()),
            before_sleep=_log_retry,
            reraise=True,
        )
        return retrying(self._call_once, what, call, reraise)

    def _call_once(self, what: str, call: Callable[[], T], reraise: tuple[type[Exception], ...]) -> T:
        try:
            return call()
        except reraise:
            raise
        except (HTTPError, OSError, ValueError, RuntimeError) as error:
            raise self._explain(what, _root_cause(error)) from None
        except Exception as error:  # such as a proxy's address that cannot be parsed
            redact_error(error)
            raise

    def _pause_sec(self, state: RetryCallState) -> float:
        """The pause that the server asks for, or else a growing one."""
        error = state.outcome.exception() if state.outcome else None
        retry_after_sec = error.retry_after_sec if isinstance(error, HubUnavailableError) else None
        return self._wait(state) if retry_after_sec is None else retry_after_sec

    def _explain(self, what: str, error: BaseException) -> HubError:
        response = getattr(error, "response", None)
        status = getattr(response, "status_code", None)
        where = f"{self._where}: cannot {what}"
        message = _first_lines(redact(str(error), self._token)) or type(error).__name__
        if status == 401:
            return HubAccessError(
                f"{where}: the token is wrong or has expired; set HF_TOKEN or run `hf auth login` ({message})"
            )
        if status == 403:
            return HubAccessError(f"{where}: the token has no permission for this; it needs write access ({message})")
        if status in (409, 412):
            return HubConflictError(f"{where}: the branch has moved ({message})")
        if status in RETRIED_STATUSES or (status is None and isinstance(error, HTTPError)):
            limit = "the hub limits the rate" if status == 429 else "the hub fails or does not answer"
            return HubUnavailableError(
                f"{where}: {limit}; uploaded files are kept, so run the same command later ({message})",
                _retry_after_sec(getattr(response, "headers", {})),
            )
        return HubError(f"{where}: {message}")


class _StopAtLongPause(stop_base):
    """Stop if the server asks for a longer pause than any of its windows."""

    def __call__(self, retry_state: RetryCallState) -> bool:
        return retry_state.upcoming_sleep > _MAX_WAIT_SEC


def _log_retry(state: RetryCallState) -> None:
    error = state.outcome.exception() if state.outcome else None
    _log.warning("%s; trying again in %.0f s", error, state.upcoming_sleep)


def _root_cause(error: BaseException) -> BaseException:
    """The client wraps errors of its upload threads and of downloads."""
    while error.__cause__ is not None and not isinstance(error, HTTPError):
        error = error.__cause__
    return error


def _retry_after_sec(headers: Mapping[str, str]) -> float | None:
    """How long the server asks to wait, if it does."""
    after = re.fullmatch(r"\s*(\d+)\s*", headers.get("retry-after", ""))
    window = re.search(r";\s*r\s*=\s*0\s*;\s*t\s*=\s*(\d+)", headers.get("ratelimit", ""))
    found = after or window
    return float(found[1]) if found else None


def _first_lines(text: str) -> str:
    """The client's message on one line, without its links to general explanations."""
    lines = [line.strip() for line in text.splitlines()]
    return " ".join(line for line in lines if line and "developer.mozilla.org" not in line)
