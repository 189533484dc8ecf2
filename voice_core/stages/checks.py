"""Checks of what a stage made: how a check is declared, and its outcome. The same in every pipeline."""

import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, Literal, ParamSpec

P = ParamSpec("P")
Severity = Literal["error", "warning"]
_MAX_LISTED = 5  # items that a message names


@dataclass(frozen=True, slots=True)
class Findings:
    """What a check found. `offenders` describes each problem, `subject` is what was checked, such as "12 rows".

    `skipped` says why nothing could be checked; the check passes then.
    """

    offenders: Sequence[str]
    subject: str
    figures: Mapping[str, Any] = field(default_factory=dict)
    skipped: str = ""


@dataclass(frozen=True, slots=True)
class CheckOutcome:
    """A check's result. A failed check fails its run unless it is a `warning`."""

    name: str
    passed: bool
    message: str
    warning: bool = False
    figures: dict[str, Any] = field(default_factory=dict)


class Check(Generic[P]):
    """A function that returns `Findings`, declared as a check. Calling it returns the `CheckOutcome`.

    Its name is the function's, its description the first paragraph of the function's docstring. A failed check of
    severity "error" fails its run and blocks the assets after it; a "warning" does neither.
    """

    def __init__(self, find: Callable[P, Findings], severity: Severity) -> None:
        self._find = find
        self.name = find.__name__
        self.description = (inspect.getdoc(find) or "").split("\n\n")[0].replace("\n", " ")
        self.severity = severity
        functools.update_wrapper(self, find)

    @property
    def blocking(self) -> bool:
        return self.severity == "error"

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> CheckOutcome:
        findings = self._find(*args, **kwargs)
        if findings.skipped:
            return self.skip(findings.skipped)
        figures = dict(findings.figures)
        warning = self.severity == "warning"
        if not findings.offenders:
            return CheckOutcome(self.name, True, f"{findings.subject}: no problems", warning, figures)
        message = list_first(findings.offenders)
        return CheckOutcome(self.name, False, message, warning, {"offenders": len(findings.offenders), **figures})

    def skip(self, reason: str) -> CheckOutcome:
        """The outcome where there is nothing to check."""
        return CheckOutcome(self.name, True, reason, self.severity == "warning")


def check(severity: Severity = "error") -> Callable[[Callable[P, Findings]], Check[P]]:
    """Decorator that declares a check.

    >>> @check("warning")
    ... def even(numbers: list[int]) -> Findings:
    ...     '''Every number is even.'''
    ...     return Findings([f"{number} is odd" for number in numbers if number % 2], f"{len(numbers)} numbers")
    >>> even.name, even.description, even.blocking
    ('even', 'Every number is even.', False)
    >>> even([2, 4]).message, even([2, 3]).message, even([3]).figures
    ('2 numbers: no problems', '3 is odd', {'offenders': 1})
    """
    return lambda find: Check(find, severity)


def list_first(items: Sequence[str], separator: str = "; ") -> str:
    """The first items, and how many more there are.

    >>> list_first(["a", "b"], ", "), list_first("abcdefg")
    ('a, b', 'a; b; c; d; e and 2 more')
    """
    more = f" and {len(items) - _MAX_LISTED} more" if len(items) > _MAX_LISTED else ""
    return separator.join(items[:_MAX_LISTED]) + more
