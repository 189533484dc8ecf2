"""Which errors of remote stores are tried again, and how long to wait before that."""

import random
import re
import time

_FIRST_PAUSE_SEC, _LONGEST_PAUSE_SEC = 0.2, 5.0
# Transient errors that obstore does not retry by itself, in its own words.
RETRIED_ERRORS = (
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
    "short body",  # of `Store`: fewer bytes than the headers say
)
_CLIENT_RETRIES = re.compile(r"in (?P<sec>[0-9.]+)s, after [0-9]+ retries")
_RETRY_LIMIT_SEC = 60.0


def is_transient(error: Exception) -> bool:
    """Whether a request is worth another try: not after obstore has retried it for `_RETRY_LIMIT_SEC` seconds."""
    text = str(error)
    tried = _CLIENT_RETRIES.search(text)
    exhausted = tried is not None and float(tried["sec"]) > _RETRY_LIMIT_SEC
    return not exhausted and any(sign.lower() in text.lower() for sign in RETRIED_ERRORS)


class Retries:
    """The tries of one request: exponential backoff with jitter.

    tenacity does this for calls; a listing resumes in the middle of a generator, so one counter serves all requests.
    """

    def __init__(self, max_tries: int) -> None:
        self._max_tries, self._tries = max_tries, 0

    def wait(self, error: Exception) -> bool:
        """Wait before the next try. Returns False, at once, if the error is permanent or the tries are used up."""
        self._tries += 1
        if self._tries >= self._max_tries or not is_transient(error):
            return False
        pause_sec = min(_FIRST_PAUSE_SEC * 2 ** (self._tries - 1), _LONGEST_PAUSE_SEC)
        time.sleep(pause_sec * random.uniform(0.5, 1.5))
        return True
