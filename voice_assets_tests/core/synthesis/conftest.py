"""Synthesis leaves neither processes nor threads behind."""

import gc
import threading
import time
from collections.abc import Iterator

import pytest

from voice_assets_tests.core.synthesis.synthesis_helpers import worker_pids


@pytest.fixture(autouse=True)
def _nothing_is_left_behind() -> Iterator[None]:
    before = worker_pids()
    yield
    gc.collect()
    deadline = time.monotonic() + 60
    while (left := worker_pids() - before) or any(t.name.startswith("synthesis-") for t in threading.enumerate()):
        assert time.monotonic() < deadline, f"left behind: {left}"
        time.sleep(0.05)
