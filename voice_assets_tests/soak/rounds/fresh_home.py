"""Commands at once on a fresh DAGSTER_HOME: all of them succeed, and the instance is sound afterwards."""

import sqlite3
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from voice_assets_tests.core.corpus.small_corpus import World
from voice_assets_tests.soak.outcome import Outcome
from voice_assets_tests.soak.places import Place, file_place

NAME = "commands at once on a fresh DAGSTER_HOME"
ROUNDS = 20
TWO = (("build",), ("build",))
FOUR = (*TWO, ("pools",), ("failures",))
DATABASES = ("history/runs.db", "history/runs/index.db", "schedules/schedules.db")


def make_raw(folder: Path) -> Path:
    """A raw bucket of three channels, so of three batches."""
    folder.mkdir(parents=True)
    world = World(folder)
    for number, channel in enumerate(("news", "sport", "talk")):
        world.record(f"r{number}", 4.0, channel=channel)
    return world.raw_dir


def run_together(place: Place, commands: Sequence[Sequence[str]]) -> list[str]:
    """Start these commands at the same moment; what those that failed printed."""
    running = [place.start(*arguments) for arguments in commands]
    ended = [(process, process.communicate()[0].decode("utf-8", "replace")) for process in running]
    return [f"exit code {process.returncode}\n{output}" for process, output in ended if process.returncode]


def faults_of_home(home: Path) -> list[str]:
    """What is wrong with a Dagster home in which the batches of `make_raw` were built."""
    faults: list[str] = []
    for name in DATABASES:
        heads = query(home / name, "SELECT version_num FROM alembic_version")
        if len(heads) != 1:
            faults.append(f"{name} has the schema versions {heads}")
    found = query(home / DATABASES[1], "SELECT partition FROM dynamic_partitions ORDER BY partition")
    if found != ["news/batch-0001", "sport/batch-0001", "talk/batch-0001"]:
        faults.append(f"the partitions are {found}")
    return faults + [f"left over: {path.name}" for path in home.glob(".instance-*")]


def query(database: Path, statement: str) -> list[str]:
    """The first column of what a statement selects."""
    connection = sqlite3.connect(database)
    try:
        return [row[0] for row in connection.execute(statement)]
    finally:
        connection.close()


def run_round(folder: Path, raw: Path, commands: Sequence[Sequence[str]]) -> list[str]:
    """Run the commands on a new home; everything that went wrong."""
    place = file_place(folder, raw)
    failed = run_together(place, commands)
    try:
        faults = faults_of_home(folder / "dagster_home")
        place.run("pools")
    except (sqlite3.Error, AssertionError) as error:
        faults = [f"the home does not open afterwards: {error}"]
    return failed + faults


def run(folder: Path, rounds: int, tell: Callable[[str], None]) -> list[Outcome]:
    raw = make_raw(folder / "corpus")
    outcomes: list[Outcome] = []
    for what, commands in (("two", TWO), ("four", FOUR)):
        started = time.monotonic()
        wrong = 0
        for number in range(rounds):
            faults = run_round(folder / f"{what}-{number}", raw, commands)
            wrong += bool(faults)
            tell(f"{number + 1:3d}  {what} commands: " + ("sound" if not faults else "; ".join(faults)[-600:]))
        outcomes.append(Outcome(f"{what} {NAME}", rounds, rounds, wrong, time.monotonic() - started))
    return outcomes
