"""Six processes merge into one pipeline.json until all are killed: nothing that they merged is lost."""

import time
from collections.abc import Callable
from pathlib import Path

from voice_assets_tests.core.audiobook.speech.merge_kills import WRITERS, merge_and_kill
from voice_assets_tests.soak.soak_result import SoakResult

NAME = "pipeline.json, writers killed -9"
ROUNDS = 30


def run(folder: Path, rounds: int, progress: Callable[[str], None]) -> list[SoakResult]:
    started = time.monotonic()
    merged = wrong = 0
    for number in range(1, rounds + 1):
        try:
            count = merge_and_kill(folder, number)
        except (AssertionError, ValueError) as error:
            wrong += 1
            progress(f"{number:4d}  {error}")
        else:
            merged += count
            progress(f"{number:4d}  {count} results merged by {WRITERS} writers that were killed: all are there")
    return [SoakResult(NAME, rounds, merged, wrong, time.monotonic() - started)]
