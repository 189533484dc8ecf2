import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from voice_assets_tests.processes import count_concurrent_holders, read_output_line, run_program
from voice_assets_tests.servers.s3 import S3Server
from voice_core.settings import Settings
from voice_core.storage import distributed_lock
from voice_core.storage.distributed_lock import LockTimeoutError, hold_lock, remove_dead_locks
from voice_core.storage.store import Store

HOLD = """
import sys, time
from resources.stores import open_store
from voice_core.storage.distributed_lock import hold_lock
from voice_core.settings import Settings
with hold_lock(open_store(sys.argv[1], Settings.load(), create=True), "channel/batch-0001"):
    print("held", flush=True)
    time.sleep(600)
"""


@pytest.fixture(params=["file", "s3"])
def url(request: pytest.FixtureRequest, tmp_path: Path, s3_server: S3Server, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "file":
        return (tmp_path / "work").as_uri()
    for name, value in s3_server.environment().items():
        monkeypatch.setenv(name, value)
    return f"{s3_server.new_bucket()}/work"


@pytest.fixture
def store(url: str) -> Store:
    return _open(url)


def _open(url: str) -> Store:
    from resources.stores import open_store

    return open_store(url, Settings.load(), create=True)


def _locks(store: Store) -> list[str]:
    return [item.key for item in store.listing("locks/")]


@contextmanager
def _held_elsewhere(url: str) -> Iterator[subprocess.Popen[str]]:
    """Hold the lock in a process that is killed at the end of the block."""
    with run_program(HOLD, url) as process:
        assert read_output_line(process) == "held"
        yield process


def test_a_released_lock_leaves_nothing(store: Store) -> None:
    with hold_lock(store, "channel/batch-0001"):
        assert len(_locks(store)) == 1
    assert not _locks(store)


def test_locks_on_two_names_are_independent(store: Store) -> None:
    with hold_lock(store, "channel/batch-0001"), hold_lock(store, "channel/batch-0002", timeout_sec=0):
        assert len(_locks(store)) == 2


def test_a_timeout_names_the_process_that_holds_the_lock(store: Store, url: str) -> None:
    with _held_elsewhere(url) as process:
        holder = rf"channel/batch-0001 is locked by process {process.pid} on "
        with pytest.raises(LockTimeoutError, match=holder), hold_lock(store, "channel/batch-0001", timeout_sec=0.2):
            pass


def test_the_lock_of_a_killed_process_is_free_at_once(store: Store, url: str) -> None:
    with _held_elsewhere(url):
        pass
    assert len(_locks(store)) == 1
    with hold_lock(store, "channel/batch-0001", timeout_sec=0.0):
        pass
    assert not _locks(store)


def test_remove_dead_locks_removes_the_locks_of_dead_processes_only(store: Store, url: str) -> None:
    with _held_elsewhere(url):
        pass
    with hold_lock(store, "another"):
        remove_dead_locks(store)
        assert len(_locks(store)) == 1
    assert not _locks(store)


def test_one_of_several_threads_holds_a_lock_at_a_time(store: Store) -> None:
    assert count_concurrent_holders(lambda _: hold_lock(store, "channel/batch-0001")) == [1] * 5


def test_a_lock_of_another_machine_is_taken_over_when_it_is_no_longer_renewed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(distributed_lock, "EXPIRY_SEC", 0.3)
    monkeypatch.setattr(distributed_lock, "_POLL_SEC", 0.05)
    store = Store("memory:///")
    # The clocks of the two machines do not matter: they are never compared.
    claim = {"host": "elsewhere", "boot": "other", "pid": 1, "started": "1", "claim": "x", "renewed": 99}
    store.put("locks/a.json", json.dumps(claim).encode())
    with pytest.raises(LockTimeoutError, match="process 1 on elsewhere"), hold_lock(store, "a", timeout_sec=0.0):
        pass
    with hold_lock(store, "a", timeout_sec=5.0):
        assert json.loads(store.get("locks/a.json"))["pid"] == os.getpid()
    assert not _locks(store)


def test_a_lock_that_is_renewed_is_not_taken_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(distributed_lock, "EXPIRY_SEC", 0.3)
    monkeypatch.setattr(distributed_lock, "RENEW_INTERVAL_SEC", 0.05)
    monkeypatch.setattr(distributed_lock, "_POLL_SEC", 0.05)
    store = Store("memory:///")
    with hold_lock(store, "a"), pytest.raises(LockTimeoutError), hold_lock(store, "a", timeout_sec=1.0):
        pass
    assert not _locks(store)
