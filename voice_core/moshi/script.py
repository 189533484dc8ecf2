"""Scripts for two speakers."""

from dataclasses import dataclass
from typing import Literal

Role = Literal["assistant", "user"]
ROLES: tuple[Role, ...] = ("assistant", "user")
"""In the order of the channels: left is the assistant, which Moshi learns to be, right is the user."""
SAMPLE_RATE_HZ = 24_000
"""Sample rate of everything that is written for Moshi."""


@dataclass(frozen=True, slots=True)
class Turn:
    """What one speaker says without interruption.

    `pause_before_sec` and `overlap_sec` (how long before the end of the other's turn it begins) are drawn where they
    are None.
    """

    role: Role
    text: str
    voice: str = ""  # the role's voice when empty
    emotion: str = ""
    pause_before_sec: float | None = None
    overlap_sec: float | None = None


@dataclass(frozen=True, slots=True)
class Dialogue:
    """`line` is its line number in the file, from 1."""

    id: str
    turns: tuple[Turn, ...]
    line: int = 0


@dataclass(frozen=True, slots=True)
class BadDialogueLine:
    """A line that is not a dialogue: where, a reason for tables, and a message for the person who fixes it."""

    line: int
    reason: str
    message: str
    id: str = ""
