"""A rule's answer: keep, or reject with a reason. The same in every pipeline."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Keep:
    """The rule accepts the item."""


@dataclass(frozen=True, slots=True)
class Reject:
    """Why something is left out, at which stage, and how far it was from being kept."""

    stage: str
    reason: str
    value: float | None = None
    threshold: float | None = None
    message: str = ""


Verdict = Keep | Reject
KEEP = Keep()
