"""The nouns of a script for two."""

from dataclasses import dataclass
from typing import Literal

Role = Literal["assistant", "user"]
ROLES: tuple[Role, ...] = ("assistant", "user")
"""In the order of the channels: left is the assistant, whom Moshi learns to be, right is the user."""
SAMPLE_RATE_HZ = 24_000
"""Of everything that is written for Moshi."""


@dataclass(frozen=True, slots=True)
class Turn:
    """What one of the two says at a stretch.

    `pause_before_sec` and `overlap_sec` (how long before the other's end it begins) are drawn where they are None.
    """

    role: Role
    text: str
    voice: str = ""  # the role's voice when empty
    emotion: str = ""
    pause_before_sec: float | None = None
    overlap_sec: float | None = None


@dataclass(frozen=True, slots=True)
class Dialogue:
    """`line` is where it stands in its file, from 1."""

    id: str
    turns: tuple[Turn, ...]
    line: int = 0


@dataclass(frozen=True, slots=True)
class BadDialogueLine:
    """A line that is no dialogue: where, a reason for tables, and a message for the person who mends it."""

    line: int
    reason: str
    message: str
    id: str = ""
