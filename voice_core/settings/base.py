"""Base class and URL checks of the settings."""

import re
from pathlib import Path

from pydantic import BaseModel, ConfigDict

ENV_PREFIX = "VOICE_"
_ONE_SLASH = re.compile(r"(file|s3|gs|memory):/[^/]")
_BUCKET = re.compile(r"\w+://([^/]*)")


def as_url(value: str) -> str:
    """Convert a folder's path to a URL; return a URL unchanged.

    Raises ValueError for a URL that lacks a slash (it would be taken for a folder), and for one that contains
    credentials: URLs are written to manifests and logs. The message does not contain the value.
    """
    lacks_slash = _ONE_SLASH.match(value)
    if lacks_slash:
        raise ValueError(f"a URL needs two slashes: {lacks_slash[1]}://…")
    refuse_credentials(value)
    return value if "://" in value else Path(value).expanduser().resolve().as_uri()


def refuse_credentials(url: str) -> None:
    """Raise ValueError for the URL of a bucket that contains a user, a key or a password."""
    bucket = _BUCKET.match(url)
    if bucket and not url.startswith("file:") and ("@" in bucket[1] or ":" in bucket[1]):
        raise ValueError(
            "a URL must not contain a key or a password: set VOICE_S3__ACCESS_KEY_ID and VOICE_S3__SECRET_ACCESS_KEY, "
            "or VOICE_GCS__CREDENTIALS_FILE"
        )


class SettingsGroup(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)
