"""Worker processes killed in each stage, as the system does when memory is short.

The build may succeed or fail; the same command again ends in the bytes of an undisturbed build.
"""

import contextlib
import dataclasses
import os
import random
import signal
import time
from collections.abc import Callable
from pathlib import Path

from voice_assets_tests.command_server import RunningCommand
from voice_assets_tests.core.corpus.small_corpus import Corpus
from voice_assets_tests.soak.deployments import Deployment, create_file_deployment
from voice_assets_tests.soak.kill_loop import build_undisturbed
from voice_assets_tests.soak.soak_result import SoakResult

NAME = "workers killed"
ROUNDS = 10
STAGES = {  # what lies below the work root once a stage has begun
    "cutting": "segments/*/*/*",
    "encoding": "coded/*/*/*",
    "writing rows": "datasets/*/splits.json",
    "pairs": "datasets/*/data/*/*",
}
KILLS = (1, 12)
"""So many workers are killed: one, or so many that what is done again is lost as well, and its batch fails."""


def create_deployment(folder: Path, recordings: int = 3) -> Deployment:
    """Three batches of so many recordings, for two workers."""
    (folder / "corpus").mkdir(parents=True)
    corpus = Corpus(folder / "corpus")
    for channel in ("news", "sport", "talk"):
        for number in range(recordings):
            corpus.add_recording(f"{channel}-{number}", 8.0, channel=channel)
    deployment = create_file_deployment(folder / "place", corpus.raw_dir)
    return dataclasses.replace(deployment, environment={**deployment.environment, "VOICE_WORKERS": "2"})


def workers_of(group: int) -> list[int]:
    """The worker processes of a process group."""
    found: list[int] = []
    for folder in Path("/proc").iterdir():
        with contextlib.suppress(OSError, ValueError):  # no process, or one that has ended
            stat = (folder / "stat").read_text()
            state, _, process_group = stat.rpartition(")")[2].split()[:3]
            command = (folder / "cmdline").read_bytes()
            if int(process_group) == group and state != "Z" and b"popen_loky_posix" in command:
                found.append(int(folder.name))
    return found


def kill_workers(build: RunningCommand, work: Path, stage: str, kills: int, wait_sec: float) -> int:
    """Kill so many workers one after another once a stage has begun; how many were killed before the build ended."""
    while build.poll() is None and not any(work.glob(STAGES[stage])):
        time.sleep(0.01)
    time.sleep(wait_sec)
    killed: set[int] = set()
    while build.poll() is None and len(killed) < kills:
        for pid in set(workers_of(build.pid)) - killed:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
                killed.add(pid)
            if len(killed) == kills:
                break
        time.sleep(0.01)
    return len(killed)


def run_round(
    deployment: Deployment, wanted: dict[str, bytes], stage: str, kills: int, wait_sec: float = 0.0
) -> tuple[str, str]:
    """What happened to the build, and what is wrong after the next one. The place is empty again afterwards."""
    build = deployment.start("build")
    killed = kill_workers(build, deployment.home / "work", stage, kills, wait_sec)
    output = build.communicate()[0]
    happened = f"{killed} killed, exit code {build.returncode}"
    faults = [] if build.returncode in (0, 1) else [output]
    try:
        deployment.run("build")
    except AssertionError as error:
        faults.append(str(error))
    files = deployment.files()
    differing = sorted(key for key in files.keys() | wanted.keys() if files.get(key) != wanted.get(key))
    if differing:
        faults.append(f"{len(differing)} files differ, such as {differing[:3]}")
    faults += [f"left over: {name}" for name in deployment.leftovers()]
    deployment.empty()
    return happened, "; ".join(faults)


def run(folder: Path, rounds: int, progress: Callable[[str], None]) -> list[SoakResult]:
    deployment = create_deployment(folder)
    wanted, _ = build_undisturbed(deployment)
    dice = random.Random(7)
    outcomes: list[SoakResult] = []
    for stage in STAGES:
        started = time.monotonic()
        wrong = failed = 0
        for number in range(rounds):
            kills = KILLS[number % len(KILLS)]
            happened, faults = run_round(deployment, wanted, stage, kills, dice.uniform(0.0, 0.2))
            wrong += bool(faults)
            failed += happened.endswith("code 1")
            progress(
                f"{number + 1:3d}  {stage}: {happened}; " + (faults[-600:] or "the same bytes after the next build")
            )
        note = f"{failed} builds failed in between"
        outcomes.append(SoakResult(f"{NAME}, {stage}", rounds, rounds, wrong, time.monotonic() - started, note))
    return outcomes
