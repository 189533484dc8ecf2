"""A build on S3 is stopped at a random moment for longer than its claim lasts; another one takes over and finishes; the
first continues. Both see another transcript, so what a former holder still writes is not what was committed."""

import dataclasses
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from voice_assets_tests.core.corpus.small_corpus import World
from voice_assets_tests.files import files_below
from voice_assets_tests.servers.s3 import s3_server
from voice_assets_tests.soak.outcome import Outcome
from voice_assets_tests.soak.paused import SHORT_CLAIMS, continue_group, kill_group, stop_group, wait_until
from voice_assets_tests.soak.places import Place, s3_place
from voice_core.storage.store import Store

NAME = "stopped past its claim, s3"
ROUNDS = 10
_BUILD = f"{SHORT_CLAIMS} from voice_assets.cli import main; main()"
_LOST = "lost its claim on"


def run(folder: Path, rounds: int, tell: Callable[[str], None]) -> list[Outcome]:
    started = time.monotonic()
    world = World(folder)
    dice = random.Random(7)
    wrong = lost = 0
    with s3_server() as s3:
        _record(world, corrected=True)
        first = s3_place(folder / "first", world.raw_dir, s3)
        second = _on_another_machine(first, folder / "second")
        began = time.monotonic()
        _end(_start(second))
        longest_sec = time.monotonic() - began
        wanted = first.files()
        for number in range(rounds):
            first.empty()
            after_sec = dice.uniform(0.0, longest_sec)
            faults, said = _round(first, second, world, wanted, after_sec)
            lost += _LOST in said
            wrong += bool(faults)
            end = "lost its claim" if _LOST in said else "finished"
            tell(f"{number + 1:4d}  stopped after {after_sec:4.1f} s: {end}; {'; '.join(faults) or 'the same bytes'}")
    note = f"{lost} lost their claim"
    return [Outcome(NAME, rounds, rounds, wrong, time.monotonic() - started, note)]


def _round(
    first: Place, second: Place, world: World, wanted: dict[str, bytes], after_sec: float
) -> tuple[list[str], str]:
    """What is wrong afterwards, and what the build said that was stopped."""
    _record(world, corrected=False)
    _upload(first, world)
    build = _start(first)
    try:
        wait_until(lambda: next(iter(first.work().listing()), None) is not None, build)
        time.sleep(after_sec)
        stop_group(build.pid)
        _record(world, corrected=True)
        _upload(first, world)
        _end(_start(second))
        continue_group(build.pid)
        said, _ = build.communicate(timeout=300)
    finally:
        kill_group(build.pid)
        build.communicate()
    faults = []
    if build.returncode != 0 and not (build.returncode == 1 and _LOST in said):
        faults.append(f"exit code {build.returncode}: {said}")
    if "Traceback" in said:
        faults.append(f"a traceback: {said}")
    found = first.files()
    differing = sorted(key for key in wanted.keys() | found.keys() if wanted.get(key) != found.get(key))
    if differing:
        faults.append(f"other bytes: {differing}")
    try:
        second.run("audit")
    except AssertionError as error:
        faults.append(f"audit: {error}")
    return faults, said


def _record(world: World, *, corrected: bool) -> None:
    for name in "abcdefgh":
        lines = world.record(name, 10.0, speaker_id=name)
        if corrected:
            for line in lines:
                line["text"] = f"Corrected: {line['text']}"
                line["end"] -= 0.1
        world.transcribe(name, lines)


def _upload(place: Place, world: World) -> None:
    Store(place.raw_url, place.work_access).put_many(files_below(world.raw_dir))


def _on_another_machine(place: Place, home: Path) -> Place:
    """The same buckets, with a Dagster instance of its own."""
    home.mkdir()
    shutil.copytree(place.home / "dagster_home", home / "dagster_home")
    own = {"VOICE_LOCAL_DIR": str(home / "scratch"), "DAGSTER_HOME": str(home / "dagster_home")}
    return dataclasses.replace(place, home=home, environment={**place.environment, **own})


def _start(place: Place) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-c", _BUILD, "build"],
        cwd=place.home,
        env={**place.variables(), "VOICE_WORKERS": "2", "COLUMNS": "1000"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def _end(build: "subprocess.Popen[str]") -> None:
    said, _ = build.communicate(timeout=300)
    if build.returncode:
        raise AssertionError(said)
