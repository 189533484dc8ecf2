"""What the settings share."""

import re
from pathlib import Path

from pydantic import BaseModel, ConfigDict

ENV_PREFIX = "VOICE_"
_ONE_SLASH = re.compile(r"(file|s3|gs|memory):/[^/]")
_BUCKET = re.compile(r"\w+://([^/]*)")


def as_url(value: str) -> str:
    """A folder's path as a URL; a URL as it is.

    Raises ValueError, which does not repeat the value, for a URL that lacks a slash (it is not a folder), and for one
    that holds credentials: URLs are written to manifests and logs.
    """
    lacks_slash = _ONE_SLASH.match(value)
    if lacks_slash:
        raise ValueError(f"a URL has two slashes: {lacks_slash[1]}://…")
    refuse_credentials(value)
    return value if "://" in value else Path(value).expanduser().resolve().as_uri()


def refuse_credentials(url: str) -> None:
    """Raise ValueError for a URL of a bucket with a user, a key or a password in it."""
    bucket = _BUCKET.match(url)
    if bucket and not url.startswith("file:") and ("@" in bucket[1] or ":" in bucket[1]):
        raise ValueError(
            "a URL must not hold a key or a password: set VOICE_S3__ACCESS_KEY_ID and VOICE_S3__SECRET_ACCESS_KEY, or "
            "VOICE_GCS__CREDENTIALS_FILE"
        )


class SettingsGroup(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)
