"""What the settings share."""

import re
from pathlib import Path

from pydantic import BaseModel, ConfigDict

ENV_PREFIX = "VOICE_"
_ONE_SLASH = re.compile(r"(file|s3|gs|memory):/[^/]")


def as_url(value: str) -> str:
    """A folder's path as a URL; a URL as it is. Raises ValueError for a URL that lacks a slash: it is no folder."""
    if _ONE_SLASH.match(value):
        raise ValueError(f"a URL has two slashes: {value.replace(':/', '://', 1)}")
    return value if "://" in value else Path(value).expanduser().resolve().as_uri()


class Group(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")
