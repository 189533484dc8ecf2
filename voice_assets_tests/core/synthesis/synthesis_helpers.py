"""Groups to be spoken, what came of them, and the processes that speak."""

import contextlib
import os
from pathlib import Path

import pytest

from benchmarks.common import process_tree
from voice_assets_tests.processes import process_group_alive, wait_until
from voice_core.synthesis import Backend, SpokenGroup, SynthesisOptions, UtteranceGroup
from voice_core.tts import Speech, Utterance

BACKENDS_TESTED: tuple[Backend, ...] = ("serial", "thread", "process")
every_backend = pytest.mark.parametrize("backend", BACKENDS_TESTED)


def make_options(backend: Backend = "serial", **fields: object) -> SynthesisOptions:
    return SynthesisOptions(backend=backend, **{"workers": 2, **fields})  # type: ignore[arg-type]


def make_group(number: int, *texts: str) -> UtteranceGroup:
    return UtteranceGroup(
        f"{number}", tuple(Utterance(text, "ab"[place % 2], seed=number) for place, text in enumerate(texts))
    )


def make_groups(count: int) -> list[UtteranceGroup]:
    return [make_group(number, *(f"turn {number} {place}" for place in range(4))) for number in range(count)]


def sample_bytes(spoken: list[SpokenGroup]) -> list[tuple[str, list[bytes]]]:
    for one in spoken:
        assert not one.failures
    return [(one.key, [s.audio.tobytes() for s in one.speeches if isinstance(s, Speech)]) for one in spoken]


def worker_pids() -> set[int]:
    """Child processes that are workers of synthesis."""
    found = set()
    for pid in process_tree(os.getpid())[1:]:
        with contextlib.suppress(OSError):
            if b"\0synthesis-" in Path(f"/proc/{pid}/cmdline").read_bytes():
                found.add(pid)
    return found


def wait_for_group_exit(group: int) -> None:
    wait_until("its workers end", lambda: not process_group_alive(group), 60)
