"""Kill -9 at any moment: the next build ends in the bytes of a build that nobody disturbed."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

from voice_assets_tests.assets.conftest import Bench

ROUNDS = 3


def _voice_build() -> subprocess.Popen[bytes]:
    command = [sys.executable, "-c", "from voice_assets.cli import main; main()", "build"]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True)


def test_killed_builds_end_in_the_bytes_of_an_undisturbed_one(bench: Bench) -> None:
    undisturbed = bench.files("batches/")
    for path in sorted(bench.work.rglob("*"), reverse=True):
        path.unlink() if path.is_file() else path.rmdir()
    dice = random.Random(7)
    for _ in range(ROUNDS):
        build = _voice_build()
        time.sleep(dice.uniform(2.0, 7.0))
        os.killpg(build.pid, signal.SIGKILL)
        build.wait()
    last = _voice_build()
    output, _ = last.communicate(timeout=180)
    assert last.returncode == 0, output.decode()
    assert bench.files("batches/") == undisturbed
    assert not [path for path in Path(bench.work).rglob("*") if "#" in path.name]
