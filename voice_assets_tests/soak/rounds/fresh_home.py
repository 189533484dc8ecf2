"""Commands at once on a fresh DAGSTER_HOME: all of them succeed, and the instance is sound afterwards."""

import sqlite3
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from voice_assets_tests.core.corpus.small_corpus import Corpus
from voice_assets_tests.soak.deployments import Deployment, create_file_deployment
from voice_assets_tests.soak.soak_result import SoakResult

NAME = "commands at once on a fresh DAGSTER_HOME"
ROUNDS = 20
TWO = (("build",), ("build",))
FOUR = (*TWO, ("pools",), ("failures",))
DATABASES = ("history/runs.db", "history/runs/index.db", "schedules/schedules.db")


def create_raw_bucket(folder: Path) -> Path:
    """A raw bucket of three channels, so of three batches."""
    folder.mkdir(parents=True)
    corpus = Corpus(folder)
    for number, channel in enumerate(("news", "sport", "talk")):
        corpus.add_recording(f"r{number}", 4.0, channel=channel)
    return corpus.raw_dir


def run_concurrently(deployment: Deployment, commands: Sequence[Sequence[str]]) -> list[str]:
    """Start these commands at the same moment; what those that failed printed."""
    running = [deployment.start(*arguments) for arguments in commands]
    ended = [(process, process.communicate()[0]) for process in running]
    return [f"exit code {process.returncode}\n{output}" for process, output in ended if process.returncode]


def find_home_faults(home: Path) -> list[str]:
    """What is wrong with a Dagster home in which the batches of `create_raw_bucket` were built."""
    faults: list[str] = []
    for name in DATABASES:
        heads = query_first_column(home / name, "SELECT version_num FROM alembic_version")
        if len(heads) != 1:
            faults.append(f"{name} has the schema versions {heads}")
    found = query_first_column(home / DATABASES[1], "SELECT partition FROM dynamic_partitions ORDER BY partition")
    if found != ["news/batch-0001", "sport/batch-0001", "talk/batch-0001"]:
        faults.append(f"the partitions are {found}")
    return faults + [f"left over: {path.name}" for path in home.glob(".instance-*")]


def query_first_column(database: Path, statement: str) -> list[str]:
    """The first column of what a statement selects."""
    connection = sqlite3.connect(database)
    try:
        return [row[0] for row in connection.execute(statement)]
    finally:
        connection.close()


def run_round(folder: Path, raw: Path, commands: Sequence[Sequence[str]]) -> list[str]:
    """Run the commands on a new home; everything that went wrong."""
    deployment = create_file_deployment(folder, raw)
    failed = run_concurrently(deployment, commands)
    try:
        faults = find_home_faults(folder / "dagster_home")
        deployment.run("pools")
    except (sqlite3.Error, AssertionError) as error:
        faults = [f"the home does not open afterwards: {error}"]
    return failed + faults


def run(folder: Path, rounds: int, progress: Callable[[str], None]) -> list[SoakResult]:
    raw = create_raw_bucket(folder / "corpus")
    outcomes: list[SoakResult] = []
    for what, commands in (("two", TWO), ("four", FOUR)):
        started = time.monotonic()
        wrong = 0
        for number in range(rounds):
            faults = run_round(folder / f"{what}-{number}", raw, commands)
            wrong += bool(faults)
            progress(f"{number + 1:3d}  {what} commands: " + ("sound" if not faults else "; ".join(faults)[-600:]))
        outcomes.append(SoakResult(f"{what} {NAME}", rounds, rounds, wrong, time.monotonic() - started))
    return outcomes
