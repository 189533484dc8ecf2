"""Which writes of a holder are refused after its lock may have been lost."""

import ast
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import voice_core
from voice_assets_tests.processes import kill_process_group, process_group_alive, read_output_line, run_program
from voice_assets_tests.servers.faulty_proxy import faulty_proxy
from voice_assets_tests.servers.s3 import S3Server
from voice_assets_tests.soak.paused_build import SHORT_CLAIMS, wait_for_process
from voice_core.compute import workers
from voice_core.compute.process_id import Process
from voice_core.storage import distributed_lock, store
from voice_core.storage.distributed_lock import LockLostError, hold_lock
from voice_core.storage.store import Store

CLAIM = "locks/batch.json"

HOLDER = """
from voice_assets_tests.servers.s3 import S3Server
from voice_core.storage.store import Store
work = Store(sys.argv[1], S3Server(sys.argv[2]).access())
with distributed_lock.hold_lock(work, "batch") as work:
    print("held", flush=True)
    sys.stdin.readline()
    try:
        {write}
        print("written", flush=True)
    except distributed_lock.LockLostError as error:
        print(error, flush=True)
"""


@pytest.fixture
def work(s3_server: S3Server) -> Store:
    return Store(f"{s3_server.new_bucket()}/work", s3_server.access())


@pytest.fixture
def short_claims(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(distributed_lock, "EXPIRY_SEC", 3.0)


def _holder(work: Store, write: str) -> tuple[str, ...]:
    return f"import sys; {SHORT_CLAIMS}{HOLDER.format(write=write)}", work.url, work.access.endpoint_url


def _taken_over(work: Store, host: str = "elsewhere") -> None:
    """Simulate that another process locks the batch."""
    other = {"host": host, "boot": "b", "pid": 7, "started": "1", "claim": "other", "renewed": 1, "at": 0.0}
    work.put(CLAIM, json.dumps(other).encode())


def _go_on(process: "subprocess.Popen[str]") -> str:
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()
    process.send_signal(signal.SIGCONT)
    return read_output_line(process)


@pytest.mark.usefixtures("short_claims")
@pytest.mark.parametrize(
    "write", ["work.put('a', b'first')", "work.put_many({'a': b'first', 'b': b'first'})", "work.delete(['a'])"]
)
def test_a_holder_that_was_stopped_until_its_lock_was_taken_over_does_not_write(write: str, work: Store) -> None:
    with run_program(*_holder(work, write)) as first:
        assert read_output_line(first) == "held"
        first.send_signal(signal.SIGSTOP)
        with hold_lock(work, "batch") as fenced:
            fenced.put("a", b"second")
            message = _go_on(first)
            assert (
                message == f"this process lost the lock on batch to {Process.current()}; nothing was written since; "
                "run the same command again"
            )
        assert first.wait(30) == 0
    assert {item.key: work.get(item.key) for item in work.listing()} == {"a": b"second"}


def test_a_holder_that_was_stopped_continues_if_its_lock_was_not_taken_over(work: Store) -> None:
    with run_program(*_holder(work, "work.put('a', b'first')")) as first:
        assert read_output_line(first) == "held"
        first.send_signal(signal.SIGSTOP)
        time.sleep(2.0)  # longer than the claim counts as safe
        assert _go_on(first) == "written"
        assert first.wait(30) == 0
    assert [item.key for item in work.listing()] == ["a"]


@pytest.mark.parametrize("size", [5, store._MULTIPART_BYTES + 1], ids=["small", "large"])
@pytest.mark.parametrize("there", [True, False], ids=["over an older object", "over none"])
def test_the_store_refuses_a_put_that_was_in_progress_when_the_lock_was_taken_over(
    size: int, there: bool, work: Store, tmp_path: Path
) -> None:
    (tmp_path / "file").write_bytes(b"1" * size)
    if there:
        work.put("a", b"old")
    with hold_lock(work, "batch") as fenced:
        _taken_over(work)  # and this process does not know it yet: it would not ask again for half a minute
        work.put("a", b"second")
        with pytest.raises(LockLostError, match="to process 7 on elsewhere"):
            fenced.upload("a", tmp_path / "file")
    assert work.get("a") == b"second"


def test_a_put_that_is_retried_after_a_takeover_writes_nothing(s3_server: S3Server, work: Store) -> None:
    """The first try fails; the server receives the second one."""
    with faulty_proxy(s3_server.url) as proxy:
        slow = Store(work.url, s3_server.access(proxy.url))
        with hold_lock(slow, "batch") as fenced:
            proxy.reset(times=1, method="PUT", path="/work/a$")
            fenced.put("a", b"first")
            assert work.get("a") == b"first"
            _taken_over(work)
            work.put("a", b"second")
            proxy.reset(times=1, method="PUT", path="/work/a$")
            with pytest.raises(LockLostError):
                fenced.put("a", b"other")
    assert work.get("a") == b"second"


def test_a_holder_replaces_objects_of_a_former_holder(work: Store) -> None:
    with hold_lock(work, "batch") as fenced:
        for content in (b"one", b"two", b"two", b"three"):
            work.put("a", b"of a former holder, landing late")
            fenced.put("a", content)
            assert work.get("a") == content


def test_releasing_a_lost_lock_keeps_the_lock_of_the_new_holder(work: Store) -> None:
    with hold_lock(work, "batch"):
        _taken_over(work)
    assert json.loads(work.get(CLAIM))["claim"] == "other"


def test_a_write_after_the_lock_was_released_is_refused(work: Store, tmp_path: Path) -> None:
    for each in (work, Store((tmp_path / "work").as_uri(), create=True)):
        with hold_lock(each, "batch") as fenced:
            fenced.put("a", b"held")
        with pytest.raises(LockLostError, match="released"):
            fenced.put("a", b"too late")
        assert each.get("a") == b"held"


def test_remove_dead_locks_keeps_a_dead_lock_that_is_taken_over_meanwhile(s3_server: S3Server, work: Store) -> None:
    me = Process.current()
    dead = {"host": me.host, "boot": me.boot, "pid": me.pid, "started": "another start", "claim": "dead", "renewed": 1}
    work.put(CLAIM, json.dumps({**dead, "at": 0.0}).encode())

    class Overtaken(Store):
        def find(self, key: str) -> bytes | None:
            data = super().find(key)
            _taken_over(work)
            return data

    distributed_lock.remove_dead_locks(Overtaken(work.url, work.access))
    assert json.loads(work.get(CLAIM))["claim"] == "other"


def test_code_that_holds_a_lock_writes_to_the_store_that_hold_lock_yields() -> None:
    used = 0
    for path in Path(voice_core.__file__).parent.rglob("*.py"):
        tree = ast.parse(path.read_text("utf-8"))
        if not any(
            isinstance(node, ast.ImportFrom) and node.module == distributed_lock.__name__ for node in ast.walk(tree)
        ):
            continue
        bound = [item for node in ast.walk(tree) if isinstance(node, ast.With) for item in node.items]
        bound = [item for item in bound if item.optional_vars is not None]
        fenced = {call for item in bound for call in ast.walk(item.context_expr)}
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "hold_lock":
                assert node in fenced, f"{path}, line {node.lineno}: with hold_lock(store, …) as store"
                used += 1
    assert used


# --- worker processes


def _put_in_worker(task: tuple[Store, str]) -> str:
    work, key = task
    try:
        work.put(key, b"by a worker")
        return "written"
    except LockLostError as error:
        return str(error)


def test_workers_write_while_the_lock_is_held_and_stop_when_it_is_lost(
    work: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(distributed_lock, "VALID_AFTER_RENEWAL_SEC", 0.0)  # ask before every write
    with hold_lock(work, "batch") as fenced:
        tasks = [(fenced, f"a{number}") for number in range(8)]
        assert {result for _, result in workers.map_unordered(_put_in_worker, tasks, 2)} == {"written"}
        _taken_over(work)
        tasks = [(fenced, f"b{number}") for number in range(4)]
        message = {result for _, result in workers.map_unordered(_put_in_worker, tasks, 2)}
        assert message == {
            "this process lost the lock on batch to process 7 on elsewhere; nothing was written since; "
            "run the same command again"
        }
    assert {item.key for item in work.listing()} == {CLAIM, *(f"a{number}" for number in range(8))}


ORPHAN = """
import os, sys
from voice_assets_tests.core.storage.test_fence import put_as_orphan
from voice_assets_tests.servers.s3 import S3Server
from voice_core.compute import workers
from voice_core.storage.distributed_lock import hold_lock
from voice_core.storage.store import Store
url, endpoint = sys.argv[1:]
plain = Store(url, S3Server(endpoint).access(), create=True)
with hold_lock(plain, "batch") as work:
    list(workers.map_unordered(put_as_orphan, [(work, plain, os.getpid())] * 2, 2))
"""


def put_as_orphan(task: tuple[Store, Store, int]) -> None:
    """Wait until the holder has ended, then write."""
    work, plain, holder = task
    plain.put(f"begun-{os.getpid()}", b"")
    while _lives(holder):
        time.sleep(0.02)
    try:
        work.put("a", b"of an orphan")
        message = "written"
    except LockLostError as error:
        message = str(error)
    plain.put(f"result-{os.getpid()}", message.encode())


def _lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except FileNotFoundError:
        return False


@pytest.mark.parametrize("kind", ["file", "s3"])
def test_the_workers_of_a_killed_holder_write_nothing(
    kind: str, tmp_path: Path, work: Store, s3_server: S3Server
) -> None:
    plain = work if kind == "s3" else Store((tmp_path / "work").as_uri(), create=True)

    def keys_below(prefix: str) -> list[str]:
        return [item.key for item in plain.listing() if item.key.startswith(prefix)]

    holder = subprocess.Popen(
        [sys.executable, "-c", ORPHAN, plain.url, s3_server.url], stdout=subprocess.DEVNULL, start_new_session=True
    )
    try:
        wait_for_process(lambda: len(keys_below("begun-")) == 2, holder)
        holder.kill()
        holder.wait()
        workers_ran = True
        while len(keys_below("result-")) < 2:
            assert workers_ran, "the workers ended without a result"
            workers_ran = process_group_alive(holder.pid)  # read before the listing: they end once they have written
            time.sleep(0.02)
    finally:
        kill_process_group(holder.pid)
    message = {plain.get(key).decode() for key in keys_below("result-")}
    assert message == {
        f"process {holder.pid} on {Process.current().host}, which held the lock on batch, has ended; "
        "nothing was written since"
    }
    assert plain.find("a") is None
