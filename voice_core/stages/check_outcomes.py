"""The result of a check on what a stage made. The checks of every pipeline return it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

_MAX_LISTED = 5  # offenders a message names


@dataclass(frozen=True, slots=True)
class CheckOutcome:
    """A check's result. A failed check fails its run unless it is a `warning`."""

    name: str
    passed: bool
    message: str
    warning: bool = False
    figures: dict[str, Any] = field(default_factory=dict)


def make_check_outcome(
    name: str,
    offenders: Sequence[str],
    subject: str,
    figures: Mapping[str, Any] | None = None,
    *,
    warning: bool = False,
) -> CheckOutcome:
    """Passed without offenders; else failed, with the first offenders in the message and their number as a figure.

    >>> make_check_outcome("texts_present", [], "12 rows").message
    '12 rows: no problems'
    >>> make_check_outcome("texts_present", ["row 3 has no text"], "12 rows").figures
    {'offenders': 1}
    """
    known = dict(figures or {})
    if not offenders:
        return CheckOutcome(name, True, f"{subject}: no problems", warning, known)
    more = f" and {len(offenders) - _MAX_LISTED} more" if len(offenders) > _MAX_LISTED else ""
    message = "; ".join(offenders[:_MAX_LISTED]) + more
    return CheckOutcome(name, False, message, warning, {"offenders": len(offenders), **known})
