"""The Dagster instance of DAGSTER_HOME: created by one process at a time, and checked before it is opened.

Dagster creates the SQLite databases of a fresh home without a lock. Two processes that do so at the same time can leave
two schema versions in a database, which then cannot be opened. Here, the databases are created under a file lock in a
temporary folder and moved into place when complete, so that a killed process leaves no incomplete database.

`python -m voice_assets.instance` creates a missing instance; `make ui` runs it before `dagster dev`.
"""

import contextlib
import os
import shutil
import sqlite3
import sys
import tempfile
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

import dagster as dg
import yaml  # type: ignore[import-untyped]
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from filelock import FileLock
from sqlalchemy.exc import DatabaseError, IntegrityError, OperationalError

from voice_core.settings import ConfigurationError

DATABASES = ("history/runs.db", "history/runs/index.db", "schedules/schedules.db")
_LOCK = ".instance.lock"
_NEW = ".instance-new-"
_STORAGES = {"storage", "run_storage", "event_log_storage", "schedule_storage"}


def find_home() -> Path:
    """DAGSTER_HOME, or ./dagster_home if that is not set. Raises ConfigurationError if it has no dagster.yaml."""
    home = Path(os.environ.get("DAGSTER_HOME") or "dagster_home").resolve()
    if not (home / "dagster.yaml").is_file():
        raise ConfigurationError(
            f"there is no Dagster instance at {home}: run from the project's folder, or set DAGSTER_HOME to a folder "
            "that holds a dagster.yaml"
        )
    return home


def open_instance() -> dg.DagsterInstance:
    """The Dagster instance of DAGSTER_HOME; missing databases are created.

    Waits while another process creates or opens it. Raises ConfigurationError for a home that cannot be written to, and
    for damaged databases.
    """
    home = find_home()
    with _locked(home), _translate_errors(home):
        if not _has_external_storage(home):
            _create_databases(home)
            for name in DATABASES:
                _repair_versions(home / name)
        return _open(home)


def find_instance() -> dg.DagsterInstance | None:
    """As `open_instance`, but creates and repairs nothing: None if the databases do not exist yet."""
    home = find_home()
    with _translate_errors(home):
        there = _has_external_storage(home) or (home / DATABASES[0]).exists()
        return _open(home) if there else None


def _open(home: Path) -> dg.DagsterInstance:
    os.environ["DAGSTER_HOME"] = str(home)
    return dg.DagsterInstance.get()


@contextlib.contextmanager
def _translate_errors(home: Path) -> Iterator[None]:
    """Turn errors of Dagster and its databases into a ConfigurationError that says what to do."""
    try:
        yield
    except (yaml.YAMLError, dg.DagsterInvalidConfigError) as error:
        raise ConfigurationError(f"{home / 'dagster.yaml'} cannot be used: {error}") from error
    except (sqlite3.OperationalError, OperationalError):  # the disk is full, or another process holds a lock
        raise
    except (sqlite3.Error, DatabaseError, CommandError) as error:
        raise ConfigurationError(
            f"the Dagster instance at {home} cannot be opened: {error}. If its databases are damaged, move the "
            "folders history and schedules away: the next command creates new ones. They hold the record of past "
            "runs; no part of a dataset is lost with them"
        ) from error


def add_partitions(instance: dg.DagsterInstance, name: str, keys: Collection[str]) -> list[str]:
    """Add missing keys to a set of dynamic partitions, also while others add them; returns all its keys, in order."""
    while True:
        known = list(instance.get_dynamic_partitions(name))
        there = set(known)
        missing = [key for key in keys if key not in there]
        if not missing:
            return known
        try:
            instance.add_dynamic_partitions(name, missing)
        except IntegrityError:  # another process added one of them in between; none of ours is added then
            if set(missing).isdisjoint(instance.get_dynamic_partitions(name)):
                raise


@contextlib.contextmanager
def _locked(home: Path) -> Iterator[None]:
    """Exclude other processes that open this home. The kernel releases the lock of a process that is killed."""
    lock = FileLock(home / _LOCK)
    try:
        lock.acquire()
    except OSError as error:
        raise ConfigurationError(
            f"the Dagster instance at {home} cannot be written: {error}. Set DAGSTER_HOME to a folder that this "
            "user may write"
        ) from error
    try:
        yield
    finally:
        lock.release()


def _has_external_storage(home: Path) -> bool:
    """Whether dagster.yaml configures its own storage, such as Postgres."""
    config = yaml.safe_load((home / "dagster.yaml").read_text("utf-8"))
    return isinstance(config, dict) and bool(_STORAGES & config.keys())


def _create_databases(home: Path) -> None:
    """Create missing database folders atomically, and remove what a killed process left."""
    for left in home.glob(f"{_NEW}*"):
        shutil.rmtree(left, ignore_errors=True)
    if (home / "history").exists() and (home / "schedules").exists():
        return
    new = Path(tempfile.mkdtemp(prefix=_NEW, dir=home))
    try:
        shutil.copy(home / "dagster.yaml", new)
        dg.DagsterInstance.from_config(str(new)).dispose()
        for name in ("history", "schedules"):
            if not (home / name).exists():
                (new / name).rename(home / name)
    finally:
        shutil.rmtree(new, ignore_errors=True)


def _repair_versions(database: Path) -> None:
    """Keep the newest schema version if two processes that created a database at the same time left two.

    One of them created all tables in the newest version, and the other recorded an older one. Raises ConfigurationError
    for versions that this Dagster does not know.
    """
    versions = _versions(database)
    if len(versions) < 2:
        return
    scripts = ScriptDirectory(str(Path(dg.__file__).parent / "_core" / "storage" / "alembic"))
    known = {script.revision for script in scripts.walk_revisions()}
    newest = scripts.get_current_head()
    if newest not in versions or not known.issuperset(versions):
        raise ConfigurationError(
            f"{database} has several schema versions ({', '.join(sorted(versions))}), and Dagster {dg.__version__} "
            f"needs {newest}: it cannot be opened. Move the folders history and schedules away: the next command "
            "creates new ones. They contain the run history only; no part of a dataset is lost"
        )
    with contextlib.closing(sqlite3.connect(database)) as connection, connection:
        connection.execute("DELETE FROM alembic_version WHERE version_num != ?", (newest,))


def _versions(database: Path) -> Sequence[str]:
    if not database.is_file():
        return ()
    with contextlib.closing(sqlite3.connect(database)) as connection:
        if not connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'alembic_version'").fetchone():
            return ()
        return [row[0] for row in connection.execute("SELECT version_num FROM alembic_version")]


if __name__ == "__main__":
    try:
        open_instance().dispose()
    except (ConfigurationError, OSError, OperationalError) as problem:
        sys.exit(f"error: {problem}")
