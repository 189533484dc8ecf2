"""Groups to be spoken, what came of them, and the processes that speak."""

import contextlib
import os
import time
from pathlib import Path

import pytest

from benchmarks.common import process_tree
from voice_assets_tests.processes import group_lives
from voice_core.synthesis import Backend, Group, Spoken, SynthesisOptions
from voice_core.tts import Speech, Utterance

ALL: tuple[Backend, ...] = ("serial", "thread", "process")
every_backend = pytest.mark.parametrize("backend", ALL)


def options_of(backend: Backend = "serial", **fields: object) -> SynthesisOptions:
    return SynthesisOptions(backend=backend, **{"workers": 2, **fields})  # type: ignore[arg-type]


def group_of(number: int, *texts: str) -> Group:
    return Group(f"{number}", tuple(Utterance(text, "ab"[place % 2], seed=number) for place, text in enumerate(texts)))


def dialogues_of(count: int) -> list[Group]:
    return [group_of(number, *(f"turn {number} {place}" for place in range(4))) for number in range(count)]


def samples_of(spoken: list[Spoken]) -> list[tuple[str, list[bytes]]]:
    for one in spoken:
        assert not one.failures
    return [(one.key, [s.audio.tobytes() for s in one.speeches if isinstance(s, Speech)]) for one in spoken]


def worker_pids() -> set[int]:
    """Child processes that are workers of synthesis."""
    found = set()
    for pid in process_tree(os.getpid())[1:]:
        with contextlib.suppress(OSError):
            if b"multiprocessing.spawn" in Path(f"/proc/{pid}/cmdline").read_bytes():
                found.add(pid)
    return found


def wait_for_the_end_of(group: int) -> None:
    deadline = time.monotonic() + 5
    while group_lives(group):
        assert time.monotonic() < deadline
        time.sleep(0.05)
