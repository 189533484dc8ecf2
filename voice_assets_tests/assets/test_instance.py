"""The Dagster instance of a home that is fresh, half-made, damaged, or opened by several processes at once."""

import contextlib
import multiprocessing
import os
import signal
import sqlite3
import tempfile
from collections.abc import Iterator
from multiprocessing.synchronize import Barrier, Event
from pathlib import Path

import dagster as dg
import pytest
from sqlalchemy import event
from sqlalchemy.engine import Engine

from voice_assets.instance import DATABASES, add_partitions, find_instance, open_instance
from voice_assets_tests.dagster_home import create_dagster_home
from voice_assets_tests.soak.rounds import fresh_home
from voice_assets_tests.soak.rounds.fresh_home import query_first_column
from voice_core.settings import ConfigurationError

_fork = multiprocessing.get_context("fork")
SET = "channel_batch"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A fresh DAGSTER_HOME."""
    return _fresh(tmp_path / "home", monkeypatch)


def _fresh(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    create_dagster_home(folder)
    monkeypatch.setenv("DAGSTER_HOME", str(folder))
    return folder


def _open_and_add(barrier: Barrier, keys: list[str]) -> None:
    barrier.wait()
    with open_instance() as instance:
        add_partitions(instance, SET, keys)


@pytest.mark.parametrize("number", range(2))
def test_processes_that_open_a_fresh_home_at_once_all_succeed(home: Path, number: int) -> None:
    barrier, keys = _fork.Barrier(4), [f"news/batch-{i:04d}" for i in range(1, 20)]
    openers = [_fork.Process(target=_open_and_add, args=(barrier, keys)) for _ in range(4)]
    for opener in openers:
        opener.start()
    for opener in openers:
        opener.join()
    assert [opener.exitcode for opener in openers] == [0, 0, 0, 0]
    assert [len(_versions(home, name)) for name in DATABASES] == [1, 1, 1]
    with open_instance() as instance:
        assert sorted(instance.get_dynamic_partitions(SET)) == keys


def test_two_builds_at_once_on_a_fresh_home_succeed(tmp_path: Path) -> None:
    raw = fresh_home.create_raw_bucket(tmp_path / "corpus")
    assert not fresh_home.run_round(tmp_path / "round", raw, fresh_home.TWO)


def _create_half(began: Event) -> None:
    def from_config(folder: str) -> dg.DagsterInstance:
        half = Path(folder) / "history"
        half.mkdir()
        with contextlib.closing(sqlite3.connect(half / "runs.db")) as connection:
            connection.execute("CREATE TABLE runs (id INTEGER)")
        began.set()
        signal.pause()
        raise AssertionError("it was not killed")

    dg.DagsterInstance.from_config = from_config  # type: ignore[assignment]  # in this process alone
    open_instance()


def test_a_process_that_is_killed_while_it_creates_the_instance_leaves_a_fresh_home(home: Path) -> None:
    began = _fork.Event()
    creator = _fork.Process(target=_create_half, args=(began,))
    creator.start()
    assert began.wait(60)
    assert creator.pid is not None
    os.kill(creator.pid, signal.SIGKILL)
    creator.join()
    with open_instance() as instance:
        assert instance.get_runs() == []
    assert [len(_versions(home, name)) for name in DATABASES] == [1, 1, 1]
    assert not list(home.glob(".instance-new-*"))


@pytest.mark.parametrize("name", DATABASES)
def test_a_database_that_two_processes_created_at_once_is_repaired(home: Path, name: str) -> None:
    with open_instance() as instance:
        instance.add_dynamic_partitions(SET, ["news/batch-0001"])
    newest = _versions(home, name)
    _insert_version(home / name, "5771160a95ad")  # the version that Dagster notes for tables without one
    with open_instance() as instance:
        assert instance.get_dynamic_partitions(SET) == ["news/batch-0001"]
        assert instance.get_runs() == []
    assert _versions(home, name) == newest


def test_versions_that_this_dagster_does_not_know_are_an_error_that_names_the_file(home: Path) -> None:
    open_instance().dispose()
    _insert_version(home / DATABASES[0], "ffffffffffff")
    with pytest.raises(ConfigurationError, match=r"history/runs\.db has several schema versions .*ffffffffffff"):
        open_instance()


def test_a_damaged_database_is_an_error_that_says_what_to_do(home: Path) -> None:
    open_instance().dispose()
    (home / DATABASES[0]).write_bytes(b"this is not a database" * 100)
    with pytest.raises(ConfigurationError, match="move the folders history and schedules away"):
        open_instance()
    for name in ("history", "schedules"):
        (home / name).rename(home / f"{name}-damaged")
    open_instance().dispose()


@contextlib.contextmanager
def _as_a_user_who_may_not_write(folder: Path) -> Iterator[None]:
    user = os.geteuid()
    folder.chmod(0o555)
    if user == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(user)
        folder.chmod(0o755)


def test_a_home_that_cannot_be_written_is_an_error_that_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        home = _fresh(Path(name) / "home", monkeypatch)
        with (
            _as_a_user_who_may_not_write(home),
            pytest.raises(ConfigurationError, match=f"{home} cannot be written.*Set DAGSTER_HOME"),
        ):
            open_instance()


def test_looking_for_an_instance_creates_nothing(home: Path) -> None:
    assert find_instance() is None
    assert [path.name for path in home.iterdir()] == ["dagster.yaml"]
    open_instance().dispose()
    found = find_instance()
    assert found is not None
    found.dispose()


def test_a_partition_that_another_process_adds_in_between_is_not_an_error(home: Path) -> None:
    waiting = [("news/batch-0002", "news/batch-0001")]

    def interfere(connection: object, cursor: object, statement: str, *rest: object) -> None:
        if statement.startswith("INSERT INTO dynamic_partitions") and waiting:
            added = [(SET, key) for key in waiting.pop()]
            with contextlib.closing(sqlite3.connect(home / DATABASES[1])) as other, other:
                other.executemany(
                    "INSERT INTO dynamic_partitions (partitions_def_name, partition) VALUES (?, ?)", added
                )

    with open_instance() as instance:
        event.listen(Engine, "before_cursor_execute", interfere)
        try:
            keys = add_partitions(instance, SET, ["news/batch-0001", "news/batch-0003"])
        finally:
            event.remove(Engine, "before_cursor_execute", interfere)
        assert not waiting
        assert keys == instance.get_dynamic_partitions(SET) == ["news/batch-0002", "news/batch-0001", "news/batch-0003"]


def _versions(home: Path, name: str) -> list[str]:
    return query_first_column(home / name, "SELECT version_num FROM alembic_version")


def _insert_version(database: Path, version: str) -> None:
    with contextlib.closing(sqlite3.connect(database)) as connection, connection:
        connection.execute("INSERT INTO alembic_version VALUES (?)", (version,))
