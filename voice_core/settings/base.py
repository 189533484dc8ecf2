"""What the settings share."""

from pathlib import Path

from pydantic import BaseModel, ConfigDict

ENV_PREFIX = "VOICE_"


def as_url(value: str) -> str:
    """A folder's path as a URL; a URL as it is."""
    return value if "://" in value else Path(value).expanduser().resolve().as_uri()


class Group(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")
