"""Who is alive: also seen from containers, and past a /proc that hides other users' processes."""

import json
import os
import subprocess
import sys
from dataclasses import asdict

import pytest

from voice_core.compute.process_id import Process

_ASKS = (
    "import json, sys; from voice_core.compute.process_id import Process; told = Process.parse(json.loads(sys.argv[1]))"
)
# After `me`, since nobody may not import what lies in root's home.
_ASKS_AS_NOBODY = (
    f"{_ASKS}; import os; Process.current(); os.setgid(65534); os.setuid(65534); print(told.is_local, told.is_dead)"
)


def isolated(*options: str) -> list[str]:
    """The command that gives another program namespaces of its own; skips where this user may not."""
    command = ["unshare", *options]
    try:
        subprocess.run([*command, "true"], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"no namespaces here: {error}")
    return command


def answer(command: list[str], process: Process) -> str:
    done = subprocess.run([*command, json.dumps(asdict(process))], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_a_process_lives_until_it_ends_and_is_no_other_with_its_pid() -> None:
    me = Process.current()
    assert me.is_local
    assert not me.is_dead
    assert Process(me.host, me.boot, me.pid, "1").is_dead
    child = subprocess.Popen(["true"])
    remains = Process(me.host, me.boot, child.pid, "1")
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert remains.is_dead  # though nobody has fetched its remains
    child.wait()
    assert remains.is_dead


def test_what_was_written_before_containers_were_told_apart_is_read_and_nothing_concluded_from_it() -> None:
    me = Process.current()
    value = {**asdict(me), "boot": me.boot.partition("/")[0], "pid": 4_000_000, "renewed": 3}
    old = Process.parse(value)
    assert old is not None
    assert str(old) == f"process 4000000 on {me.host}"
    assert not old.is_local
    assert not old.is_dead


def test_a_process_of_another_container_with_the_hosts_name_is_not_taken_for_dead() -> None:
    command = isolated("--user", "--map-root-user", "--pid", "--fork", "--mount-proc")
    program = f"{_ASKS}; print(told.is_local, told.is_dead)"
    assert answer([sys.executable, "-c", program], Process.current()) == "True False"
    assert answer([*command, sys.executable, "-c", program], Process.current()) == "False False"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may hide processes")
def test_a_process_of_another_user_that_proc_hides_is_not_taken_for_dead() -> None:
    command = isolated("--mount", "sh", "-c", 'mount -t proc -o hidepid=2 proc /proc && exec "$@"', "sh")
    command += [sys.executable, "-c", _ASKS_AS_NOBODY]
    me = Process.current()
    assert answer(command, me) == "True False"
    assert answer(command, Process(me.host, me.boot, 4_000_000, "1")) == "True True"
