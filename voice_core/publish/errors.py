"""What can go wrong at the hub, and how secrets are kept out of messages and logs."""

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
)  # made on first use


class HubError(RuntimeError):
    """The hub could not do what was asked. The message names the repository, what was asked, and the reason, no
    secrets."""

    def __init__(self, message: str) -> None:
        super().__init__(redact(message))


class HubAccessError(HubError):
    """There is no token, it is wrong, or it does not allow this."""


class HubUnavailableError(HubError):
    """The hub limits the rate, fails or does not answer, and went on doing so. Trying later goes on from there."""


class HubConflictError(HubError):
    """The branch moved between the look at it and the commit."""


class RemoteChangedError(HubError):
    """Somebody else changed what would be overwritten or deleted."""


class _RedactionFilter(logging.Filter):
    def __init__(self, token: str) -> None:
        super().__init__()
        self._token = token

    def filter(self, record: logging.LogRecord) -> bool:
        record.msg, record.args = redact(record.getMessage(), self._token), None
        return True


@contextmanager
def redact_client_logs(token: str) -> Iterator[None]:
    """While the block runs, what the client libraries log has no secret in it.

    A filter of a logger does not see what its children log, so each of them gets one.
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
