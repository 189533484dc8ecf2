"""The demo: `make demo` in a clean clone of the last commit, its own set-up included.

Set-up is `make .venv/.base` (a virtual environment and the base packages, by pip, whose cache is left as it
is), the demo is `make demo` after it: it speaks the raw bucket and builds the dataset through Dagster. Run once.

Prediction: set-up takes 90 s, the demo 70 s.
"""

import os
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Final

from benchmarks.common import Options
from benchmarks.report import Goal, Report

REPOSITORY: Final = Path(__file__).parents[1]
_STEPS: Final = {"set-up": ".venv/.base", "demo": "demo"}


def measure(options: Options) -> Report:
    """Nothing about it can be shortened, so `--quick` changes nothing."""
    wall_sec: dict[str, float] = {}
    with tempfile.TemporaryDirectory(prefix="voice-bench-") as folder:
        clone = Path(folder, "clone")
        _run(["git", "clone", "--quiet", "--no-local", str(REPOSITORY), str(clone)], Path(folder))
        commit = _run(["git", "rev-parse", "HEAD"], clone).strip()
        for name, target in _STEPS.items():
            started = time.perf_counter()
            _run(["make", target], clone)
            wall_sec[name] = time.perf_counter() - started
    total = sum(wall_sec.values())
    return Report(
        columns=["step", "s"],
        rows=[[name, f"{value:.1f}"] for name, value in {**wall_sec, "both": total}.items()],
        goals=[Goal("make demo, set-up included", total, 300, at_least=False, unit=" s")],
        notes=[f"commit {commit[:12]}; uncommitted changes are not in it"],
        details={"commit": commit, "wall_sec": wall_sec},
    )


def _run(command: list[str], folder: Path) -> str:
    """The command's output. Raises `RuntimeError` with its end when it fails."""
    outer = ("VIRTUAL_ENV", "PYTHONPATH", "DAGSTER_HOME", "MAKEFLAGS", "MAKELEVEL", "MFLAGS")
    clean = {name: value for name, value in os.environ.items() if name not in outer and not name.startswith("VOICE_")}
    done = subprocess.run(
        command, cwd=folder, env=clean, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False
    )
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout[-4000:]}")
    return done.stdout
