"""Keeps the SQLAlchemy engines of Dagster's SQLite storages.

Dagster makes an engine for each connection, which compiles every statement anew: an eighth of a small build's processor
time. The engines have no pool, so each connection is still opened and closed.
"""

import functools
import json
from typing import Any

import sqlalchemy
from dagster._core.storage.event_log.sqlite import sqlite_event_log
from dagster._core.storage.runs.sqlite import sqlite_run_storage
from dagster._core.storage.schedules.sqlite import sqlite_schedule_storage


def keep_engines() -> None:
    for module in (sqlite_event_log, sqlite_run_storage, sqlite_schedule_storage):
        module.create_engine = _create_engine  # type: ignore[attr-defined]


def _create_engine(url: str, *, poolclass: type, connect_args: dict[str, Any] | None = None) -> sqlalchemy.Engine:
    return _kept_engine(url, poolclass, json.dumps(connect_args or {}))


@functools.lru_cache(maxsize=64)
def _kept_engine(url: str, poolclass: type, connect_args: str) -> sqlalchemy.Engine:
    return sqlalchemy.create_engine(url, poolclass=poolclass, connect_args=json.loads(connect_args))
