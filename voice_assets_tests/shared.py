"""Expensive data that all xdist workers of a test run share."""

import os
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import pytest
from filelock import FileLock

Value = TypeVar("Value")


def make_once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], Value]) -> Value:
    """What `make` returns, which may use the folder that it is given; the first worker makes it for all.

    Nobody may write to that folder afterwards.
    """
    base = factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:  # each worker has a folder of its own in that of the run
        base = base.parent
    folder, record = base / f"shared-{name}", base / f"shared-{name}.pickle"
    with FileLock(base / f"shared-{name}.lock"):
        if not record.exists():
            shutil.rmtree(folder, ignore_errors=True)  # of a worker that failed
            folder.mkdir()
            value = make(folder)
            record.write_bytes(pickle.dumps(value))
        return pickle.loads(record.read_bytes())
