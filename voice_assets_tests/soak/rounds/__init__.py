"""Soak tests by subject: each module here is one, and is found by its name.

A module has `NAME` (the row's name in the table), `ROUNDS` (the full number) and `run`, which does that many rounds in
an empty folder and tells each round's result in a line.
"""

import importlib
import pkgutil
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from voice_assets_tests.soak.soak_result import SoakResult


class SoakTest(Protocol):
    NAME: str
    ROUNDS: int

    def run(self, folder: Path, rounds: int, progress: Callable[[str], None]) -> list[SoakResult]: ...


def soak_tests() -> dict[str, SoakTest]:
    """All modules of this package, by their file's name."""
    names = sorted(item.name for item in pkgutil.iter_modules(__path__))
    return {name: importlib.import_module(f"{__name__}.{name}") for name in names}  # type: ignore[misc]
