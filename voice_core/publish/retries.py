"""Calls of the hub's client: patience with what passes by itself, and errors that a person can act on."""

import logging
import re
import time
from collections.abc import Callable
from typing import TypeVar

from huggingface_hub.errors import HTTPError

from voice_core.publish.errors import HubAccessError, HubConflictError, HubError, HubUnavailableError
from voice_core.redaction import redact, redact_error

MAX_ATTEMPTS = 5
_TRANSIENT = {408, 429, 500, 502, 503, 504}
_MAX_WAIT_SEC = 330.0  # the hub counts requests in windows of five minutes
_log = logging.getLogger(__name__)
T = TypeVar("T")


class RetryingCaller:
    """Makes calls. `where` names the repository in messages; `wait_sec` is the first pause, each one doubles it."""

    def __init__(self, where: str, token: str, wait_sec: float) -> None:
        self._where, self._token, self._wait_sec = where, token, wait_sec

    def __call__(
        self,
        what: str,
        call: Callable[[], T],
        *,
        max_attempts: int = MAX_ATTEMPTS,
        reraise: tuple[type[Exception], ...] = (),
    ) -> T:
        """The call's result. What `reraise` names is raised as it is, for the caller to catch."""
        wait_sec = self._wait_sec
        for attempt in range(1, max_attempts + 1):
            try:
                return call()
            except reraise:
                raise
            except (HTTPError, OSError, ValueError, RuntimeError) as error:
                cause = _root_cause(error)
                failure = self._explain(what, cause)
                pause_sec = _retry_after_sec(cause, wait_sec)
                if not isinstance(failure, HubUnavailableError) or attempt == max_attempts or pause_sec > _MAX_WAIT_SEC:
                    raise failure from None
            except Exception as error:  # such as a proxy's address that cannot be parsed
                redact_error(error)
                raise
            _log.warning("%s; trying again in %.0f s", failure, pause_sec)
            time.sleep(pause_sec)
            wait_sec *= 2
        raise AssertionError

    def _explain(self, what: str, error: BaseException) -> HubError:
        response = getattr(error, "response", None)
        status = getattr(response, "status_code", None)
        where = f"{self._where}: cannot {what}"
        message = _first_lines(redact(str(error), self._token)) or type(error).__name__
        if status == 401:
            return HubAccessError(
                f"{where}: the token is wrong or has run out; see HF_TOKEN or `hf auth login` ({message})"
            )
        if status == 403:
            return HubAccessError(f"{where}: the token does not allow it; it needs write access ({message})")
        if status in (409, 412):
            return HubConflictError(f"{where}: the branch has moved ({message})")
        if status in _TRANSIENT or (status is None and isinstance(error, HTTPError)):
            limit = "the hub limits the rate" if status == 429 else "the hub fails or does not answer"
            return HubUnavailableError(f"{where}: {limit}; what was uploaded is kept, so try again later ({message})")
        return HubError(f"{where}: {message}")


def _root_cause(error: BaseException) -> BaseException:
    """The client wraps what goes wrong in its upload threads, and in downloads."""
    while error.__cause__ is not None and not isinstance(error, HTTPError):
        error = error.__cause__
    return error


def _retry_after_sec(error: BaseException, wait_sec: float) -> float:
    """How long the server asks to wait, or else `wait_sec`."""
    headers = getattr(getattr(error, "response", None), "headers", {})
    after = re.fullmatch(r"\s*(\d+)\s*", headers.get("retry-after", ""))
    window = re.search(r";\s*r\s*=\s*0\s*;\s*t\s*=\s*(\d+)", headers.get("ratelimit", ""))
    retry_after = after or window
    return float(retry_after[1]) if retry_after else wait_sec


def _first_lines(text: str) -> str:
    """The client's message on one line, without its links to general explanations."""
    lines = [line.strip() for line in text.splitlines()]
    return " ".join(line for line in lines if line and "developer.mozilla.org" not in line)
