"""Whether a store's server answers at all, asked with nothing but the standard library and no credentials."""

import os
import re
import ssl
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
from voice_core.storage.diagnosis import WANTS_TLS, Diagnosis, diagnose, root_cause_message

_TIMEOUT_SEC = 10.0


@dataclass(frozen=True, slots=True)
class ConnectionCheck:
    address: str  # scheme, host and port
    diagnosis: Diagnosis | None = None
    latency_ms: float = 0.0  # of one request, with the connection
    clock_offset_sec: float | None = None  # the server's clock less this machine's; None where it does not tell
    region: str = ""  # where the bucket lies, as far as the server tells


def check_connection(url: str, access: StoreConfig) -> ConnectionCheck:
    """Ask the server of an s3:// or gs:// URL for its bucket; any answer will do."""
    address = resolve_endpoint(url, access)
    if not address.startswith(("http://", "https://")):
        return ConnectionCheck(address, Diagnosis(f"{address} is no address", "begin it with https:// or http://"))
    # Not HEAD, whose answers carry no text: some servers say only there that they expect https.
    request = urllib.request.Request(f"{address}/{urlsplit(url).netloc}?max-keys=1")
    try:
        opener = urllib.request.build_opener(_NoRedirect, urllib.request.HTTPSHandler(context=_ssl_context(access)))
    except (OSError, ssl.SSLError) as error:
        trouble = diagnose(root_cause_message(error), url) or Diagnosis(str(error), "")
        return ConnectionCheck(address, Diagnosis(f"{access.ca_bundle}: {trouble.what}", "check VOICE_S3__CA_BUNDLE"))
    started = time.perf_counter()
    try:
        with opener.open(request, timeout=_TIMEOUT_SEC) as answer:
            headers = answer.headers
    except urllib.error.HTTPError as error:
        body = error.read(2000).decode(errors="replace") if error.code == 400 else ""
        if re.search(WANTS_TLS, body):
            return ConnectionCheck(address, diagnose(body, url))
        headers = error.headers
    except (OSError, HTTPException) as error:
        reason = getattr(error, "reason", error)
        cause = reason if isinstance(reason, BaseException) else error
        found = diagnose(root_cause_message(cause), url) or Diagnosis(str(cause), "")
        return ConnectionCheck(address, Diagnosis(f"{address}: {found.what}", found.cure))
    milliseconds = 1000 * (time.perf_counter() - started)
    return ConnectionCheck(
        address, None, milliseconds, _clock_offset_sec(headers), headers.get("x-amz-bucket-region") or ""
    )


def resolve_endpoint(url: str, access: StoreConfig) -> str:
    """The scheme, host and port that requests go to."""
    if access.endpoint_url:
        return access.endpoint_url.rstrip("/")
    if url.startswith("gs:"):
        return "https://storage.googleapis.com"
    named = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
    region = access.region or os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
    return (named or (f"https://s3.{region}.amazonaws.com" if region else "https://s3.amazonaws.com")).rstrip("/")


def _ssl_context(access: StoreConfig) -> ssl.SSLContext:
    context = ssl.create_default_context()
    if access.ca_bundle:
        context.load_verify_locations(access.ca_bundle)
    if not access.verify_tls:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def _clock_offset_sec(headers: Message) -> float | None:
    try:
        server = parsedate_to_datetime(headers.get("Date") or "")
    except ValueError:
        return None
    return (server.replace(tzinfo=server.tzinfo or UTC) - datetime.now(UTC)).total_seconds()


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A redirect is an answer too."""

    def redirect_request(self, *arguments: object, **named: object) -> None:
        return None
