"""Whether a process is running, also from containers and with a /proc that hides other users' processes."""

import json
import os
import subprocess
import sys
from dataclasses import asdict

import pytest

from voice_core.compute.process_id import Process

_PARSE = (
    "import json, sys; from voice_core.compute.process_id import Process; "
    "found = Process.parse(json.loads(sys.argv[1]))"
)
# The user changes after the imports: `nobody` may not read the modules in root's home.
_PARSE_AS_NOBODY = (
    f"{_PARSE}; import os; Process.current(); os.setgid(65534); os.setuid(65534); print(found.is_local, found.is_dead)"
)


def isolated(*options: str) -> list[str]:
    """The command that starts a program in its own namespaces; skips the test where this user may not."""
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


def test_a_process_is_dead_once_it_has_ended_or_another_has_its_pid() -> None:
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


def test_records_without_a_pid_namespace_are_read_and_count_as_another_machine() -> None:
    me = Process.current()
    value = {**asdict(me), "boot": me.boot.partition("/")[0], "pid": 4_000_000, "renewed": 3}
    old = Process.parse(value)
    assert old is not None
    assert str(old) == f"process 4000000 on {me.host}"
    assert not old.is_local
    assert not old.is_dead


def test_a_process_of_another_container_with_the_same_host_name_is_not_dead() -> None:
    command = isolated("--user", "--map-root-user", "--pid", "--fork", "--mount-proc")
    program = f"{_PARSE}; print(found.is_local, found.is_dead)"
    assert answer([sys.executable, "-c", program], Process.current()) == "True False"
    assert answer([*command, sys.executable, "-c", program], Process.current()) == "False False"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may hide processes")
def test_a_process_that_proc_hides_is_not_dead() -> None:
    command = isolated("--mount", "sh", "-c", 'mount -t proc -o hidepid=2 proc /proc && exec "$@"', "sh")
    command += [sys.executable, "-c", _PARSE_AS_NOBODY]
    me = Process.current()
    assert answer(command, me) == "True False"
    assert answer(command, Process(me.host, me.boot, 4_000_000, "1")) == "True True"
