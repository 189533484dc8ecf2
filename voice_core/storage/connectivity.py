"""Whether a store's server answers at all: one request with the standard library, without credentials."""

import re
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from datetime import UTC, datetime
from email.message import Message
from email.utils import parsedate_to_datetime
from http.client import HTTPException
from urllib.parse import urlsplit

from voice_core.storage.config import StoreConfig
from voice_core.storage.errors import WANTS_TLS, Diagnosis, diagnose, diagnose_error

_TIMEOUT_SEC = 10.0


@dataclass(frozen=True, slots=True)
class ConnectionCheck:
    address: str  # scheme, host and port
    diagnosis: Diagnosis | None = None
    latency_ms: float = 0.0  # of one request, with the connection
    clock_offset_sec: float | None = None  # the server's clock minus this machine's; None if it sends no date
    region: str = ""  # of the bucket, if the server sends it


def check_connection(url: str, access: StoreConfig) -> ConnectionCheck:
    """Send one request for the bucket of an s3:// or gs:// URL. Any response counts as reached."""
    address = access.endpoint(url)
    if not address.startswith(("http://", "https://")):
        return ConnectionCheck(
            address, Diagnosis(f"{address} is not an http address", "begin it with https:// or http://")
        )
    # Not HEAD, whose responses have no body: some servers say only there that they expect https.
    request = urllib.request.Request(f"{address}/{urlsplit(url).netloc}?max-keys=1")
    try:
        opener = urllib.request.build_opener(_NoRedirect, urllib.request.HTTPSHandler(context=access.ssl_context()))
    except OSError as error:
        trouble = diagnose_error(error, url) or Diagnosis(str(error), "")
        return ConnectionCheck(address, Diagnosis(f"{access.ca_bundle}: {trouble.what}", "check VOICE_S3__CA_BUNDLE"))
    started = time.perf_counter()
    try:
        with opener.open(request, timeout=_TIMEOUT_SEC) as response:
            headers = response.headers
    except urllib.error.HTTPError as error:
        body = error.read(2000).decode(errors="replace") if error.code == 400 else ""
        if re.search(WANTS_TLS, body):
            return ConnectionCheck(address, diagnose(body, url))
        headers = error.headers
    except (OSError, HTTPException) as error:
        reason = getattr(error, "reason", error)
        cause = reason if isinstance(reason, BaseException) else error
        found = diagnose_error(cause, url) or Diagnosis(str(cause), "")
        return ConnectionCheck(address, Diagnosis(f"{address}: {found.what}", found.cure))
    milliseconds = 1000 * (time.perf_counter() - started)
    return ConnectionCheck(
        address, None, milliseconds, _clock_offset_sec(headers), headers.get("x-amz-bucket-region") or ""
    )


def _clock_offset_sec(headers: Message) -> float | None:
    try:
        server = parsedate_to_datetime(headers.get("Date") or "")
    except ValueError:
        return None
    return (server.replace(tzinfo=server.tzinfo or UTC) - datetime.now(UTC)).total_seconds()


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """Return a redirect as the response."""

    def redirect_request(self, *arguments: object, **named: object) -> None:
        return None
