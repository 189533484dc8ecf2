"""Errors of the hub, and a filter that keeps secrets out of messages and logs."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from voice_core.redaction import redact

_CLIENT_LOGGERS = ("huggingface_hub", "httpx", "httpcore", "hf_xet")
_LAZY_LOGGERS = (
    "_commit_api",
    "_upload_pipeline",
    "file_download",
    "lfs",
    "utils._http",
    "utils._xet",
)  # loggers that are created on first use


class HubError(RuntimeError):
    """A request to the hub failed. The message names the repository, the request and the reason, and has no secret."""

    def __init__(self, message: str) -> None:
        super().__init__(redact(message))


class HubAccessError(HubError):
    """The token is missing or wrong, or has no permission for this."""


class HubUnavailableError(HubError):
    """The hub limits the rate, fails or does not answer, after all retries. The same command resumes later.

    `retry_after_sec` is the pause that the server asked for.
    """

    def __init__(self, message: str, retry_after_sec: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_sec = retry_after_sec


class HubConflictError(HubError):
    """The branch moved between the comparison and the commit."""


class RemoteChangedError(HubError):
    """Files that would be overwritten or deleted were changed by another user."""


class _RedactionFilter(logging.Filter):
    def __init__(self, token: str) -> None:
        super().__init__()
        self._token = token

    def filter(self, record: logging.LogRecord) -> bool:
        record.msg, record.args = redact(record.getMessage(), self._token), None
        return True


@contextmanager
def redact_client_logs(token: str) -> Iterator[None]:
    """Remove secrets from the log records of the client libraries while the block runs.

    A filter of a logger does not apply to records of its children, so each logger gets one.
    """
    redaction = _RedactionFilter(token)
    names = {name for name in logging.root.manager.loggerDict if name.startswith(_CLIENT_LOGGERS)}
    loggers = [
        logging.getLogger(name)
        for name in {*names, *_CLIENT_LOGGERS, *(f"huggingface_hub.{part}" for part in _LAZY_LOGGERS)}
    ]
    for logger in loggers:
        logger.addFilter(redaction)
    try:
        yield
    finally:
        for logger in loggers:
            logger.removeFilter(redaction)
