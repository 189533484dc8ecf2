"""Kill -9 a build at random moments, again and again; each build that comes to its end must end in the same bytes."""

import random
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from voice_assets_tests.command_server import RunningCommand
from voice_assets_tests.soak.deployments import Deployment


@dataclass(frozen=True, slots=True)
class KillRound:
    """A round of the loop."""

    number: int
    after_sec: float
    finished: bool  # the build was done before its time was up
    objects: int  # below the work root afterwards

    def __str__(self) -> str:
        end = "finished" if self.finished else "killed"
        return f"{self.number:4d}  {end} within {self.after_sec:5.1f} s, {self.objects} objects"


def build_undisturbed(deployment: Deployment) -> tuple[dict[str, bytes], float]:
    """The bytes of a build that nobody disturbs, and how long it takes. The place is empty again afterwards."""
    started = time.monotonic()
    deployment.run("build")
    wall_sec = time.monotonic() - started
    files = deployment.files()
    deployment.empty()
    return files, wall_sec


def kill_loop(
    deployment: Deployment,
    wanted: dict[str, bytes],
    *,
    kills: int,
    longest_sec: float,
    seed: int = 7,
    progress: Callable[[KillRound], None] = lambda kill: None,
) -> list[KillRound]:
    """Kill builds in a row, each going on where the last one was killed, then let one come to its end.

    A build that is done before its time is up is compared too; the next ones begin from nothing again.
    Raises `AssertionError` where the bytes differ from those `wanted`, or something is left over.
    """
    dice = random.Random(seed)
    rounds: list[KillRound] = []
    killed = 0
    while killed < kills:
        after_sec = dice.uniform(0.3, longest_sec)
        build = deployment.start("build")
        finished = ends_within(build, after_sec)
        if not finished:
            killed += 1
        rounds.append(KillRound(len(rounds) + 1, after_sec, finished, sum(1 for _ in deployment.work().listing())))
        progress(rounds[-1])
        if finished:
            _compare(deployment, wanted, f"after {len(rounds)} rounds")
            deployment.empty()
    deployment.run("build")
    _compare(deployment, wanted, "at the end")
    return rounds


def without_batches(files: Mapping[str, bytes]) -> dict[str, bytes]:
    """All but what a store calls its raw objects, which differs from store to store."""
    return {key: data for key, data in files.items() if not key.startswith("batches/")}


def ends_within(build: RunningCommand, seconds: float) -> bool:
    """Whether a process ends by itself in time; it is killed with all its children otherwise."""
    try:
        output, _ = build.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        build.kill_all()
        return False
    assert build.returncode == 0, output
    return True


def _compare(deployment: Deployment, wanted: dict[str, bytes], when: str) -> None:
    found = deployment.files()
    assert sorted(found) == sorted(wanted), (
        f"{deployment.kind}, {when}: other objects: {sorted(found.keys() ^ wanted.keys())}"
    )
    differing = [key for key in wanted if found[key] != wanted[key]]
    assert not differing, f"{deployment.kind}, {when}: other bytes: {differing}"
    leftovers = deployment.leftovers()
    assert not leftovers, f"{deployment.kind}, {when}: left over: {leftovers}"
