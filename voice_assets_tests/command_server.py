"""`voice` commands in processes of their own, without the seconds of CPU that each would spend on imports.

A server process imports what commands need; each command is a fork of it, with its own variables, folder, standard
streams and, where it is started, its own process group. multiprocessing's fork server gives its processes neither
variables nor standard streams of their own, and ends them without the interpreter's exit handlers.
"""

import atexit
import contextlib
import functools
import gc
import importlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

import dagster

from voice_assets_tests.dagster_home import read_migrations_once
from voice_assets_tests.processes import kill_process_group

_PROJECT = Path(__file__).parents[1]
_INHERITED_PREFIXES = ("VOICE_", "AWS_", "GOOGLE_", "HF_", "DAGSTER_HOME", "STORAGE_EMULATOR_HOST")
_POLL_SEC = 0.01
_PRELOADED = (
    "av",
    "dagster._core.execution.execute_in_process",
    "dagster._core.secrets.env_file",
    "dagster._core.storage.local_compute_log_manager",
    "dagster._core.storage.sqlite_storage",
    "matplotlib.backends.backend_agg",
    "matplotlib.figure",
    "pandas",
    "voice_assets.build",
    "voice_assets.cli",
    "voice_assets.definitions",
    "spokenform",
    "upath",
    "voice_core.codecs.melvq",
    "voice_core.publish.hub",
)


@dataclass(frozen=True, slots=True)
class CommandResult:
    """How a command ended."""

    code: int
    output: str  # standard output and error


class RunningCommand:
    """A command that was started: what is used of `subprocess.Popen`, and its process group's leader."""

    def __init__(self, server: "CommandServer", pid: int, files: "tempfile.TemporaryDirectory[str]") -> None:
        self.pid = pid
        self.returncode: int | None = None
        self._server = server
        self._files = files

    def poll(self) -> int | None:
        if self.returncode is None:
            self.returncode = self._server.request(poll=self.pid)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Raises `subprocess.TimeoutExpired`."""
        deadline = None if timeout is None else time.monotonic() + timeout
        while (code := self.poll()) is None:
            if deadline is not None and time.monotonic() > deadline:
                raise subprocess.TimeoutExpired("voice", timeout or 0.0)
            time.sleep(_POLL_SEC)
        return code

    def communicate(self, timeout: float | None = None) -> tuple[str, str]:
        """What it wrote to standard output and error once it has ended. Raises `subprocess.TimeoutExpired`."""
        self.wait(timeout)
        return self.read_output("stdout"), self.read_output("stderr")

    def read_output(self, name: str = "stdout") -> str:
        """What it has written so far to `stdout` or `stderr`."""
        return (Path(self._files.name) / name).read_text("utf-8", "replace")

    def send_signal(self, sign: int) -> None:
        """To the command alone, not to its workers."""
        if self.poll() is None:
            os.kill(self.pid, sign)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill_all(self) -> None:
        """Kill the command and all its workers."""
        kill_process_group(self.pid)
        self.wait()


@dataclass(slots=True)
class CommandServer:
    """The server process. Its methods may be called from several threads."""

    process: "subprocess.Popen[str]"
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def request(self, **request: object) -> Any:
        """Send a request to the server; returns its answer."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        with self._lock:
            self.process.stdin.write(json.dumps(request) + "\n")
            self.process.stdin.flush()
            return json.loads(self.process.stdout.readline())

    def start(
        self,
        *arguments: str,
        folder: Path,
        variables: Mapping[str, str],
        keep: bool = False,
        given: str = "",
        merged: bool = False,
        code: str = "",
    ) -> RunningCommand:
        """Start a command as the leader of a process group; `publish asset` runs Dagster's job `publish`.

        `variables` are all that it has, or with `keep` replace some of the server's. `given` is its standard input;
        with `merged` its standard error goes to its standard output. `code` is Python that runs before the command.
        """
        files = tempfile.TemporaryDirectory(prefix="voice-command-")
        (Path(files.name) / "stdin").write_text(given, "utf-8")
        for name in ("stdout", "stderr"):
            (Path(files.name) / name).touch()
        pid = self.request(
            arguments=arguments, folder=str(folder), variables=dict(variables), keep=keep, files=files.name,
            merged=merged, code=code,
        )  # fmt: skip
        return RunningCommand(self, pid, files)

    def run(self, folder: Path, variables: Mapping[str, str], *arguments: str) -> CommandResult:
        """Run a command in a folder to its end, without any other variable that is a setting."""
        wide = {"COLUMNS": "1000", **variables}
        command = self.start(*arguments, folder=folder, variables=wide, keep=True, merged=True)
        output, _ = command.communicate()
        return CommandResult(command.wait(), output)


@contextlib.contextmanager
def run_command_server() -> Iterator[CommandServer]:
    """The server; it ends with the block."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(_INHERITED_PREFIXES)}
    environment.pop("COLUMNS", None)  # rich reads it once, for all commands, where it is there at import
    environment |= {"PYTHONPATH": str(_PROJECT), "HF_HUB_DISABLE_XET": "1"}
    # No credentials of the machine: neither files nor the metadata service of a cloud.
    environment |= {
        "AWS_CONFIG_FILE": "/none",
        "AWS_SHARED_CREDENTIALS_FILE": "/none",
        "AWS_EC2_METADATA_DISABLED": "1",
    }
    with (
        tempfile.TemporaryDirectory() as folder,
        subprocess.Popen(
            [sys.executable, "-m", __name__],
            cwd=folder,
            env={**environment, "HF_HOME": f"{folder}/huggingface"},  # read once, at import: no login of the machine
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,  # a Ctrl-C does not reach it before those who still use it
        ) as process,
    ):
        yield CommandServer(process)
        assert process.stdin is not None
        process.stdin.close()


@functools.cache
def shared_command_server() -> CommandServer:
    """The server of this process, which ends with it."""
    stack = contextlib.ExitStack()
    atexit.register(stack.close)
    return stack.enter_context(run_command_server())


def start_voice(
    *arguments: str, folder: Path | None = None, given: str = "", merged: bool = False, **variables: str
) -> RunningCommand:
    """Start `voice` with this process's variables and those given."""
    environment = {"COLUMNS": "200", **os.environ, **variables}
    return shared_command_server().start(
        *arguments, folder=folder or Path.cwd(), variables=environment, given=given, merged=merged
    )


def run_voice(
    *arguments: str, given: str = "", code: str = "", timeout_sec: float = 300.0, **variables: str
) -> "subprocess.CompletedProcess[str]":
    """Run `voice` to its end with this process's variables and those given.

    `given` is its standard input; `code` is Python that runs before the command.
    """
    environment = {"COLUMNS": "200", **os.environ, **variables}
    command = shared_command_server().start(
        *arguments, folder=Path.cwd(), variables=environment, given=given, code=code
    )
    try:
        stdout, stderr = command.communicate(timeout_sec)
    finally:
        command.kill_all()  # what it left running, or itself where it took too long
    return subprocess.CompletedProcess(arguments, command.wait(), stdout, stderr)


def _serve() -> None:
    _import_what_commands_need()
    assert threading.active_count() == 1, "a fork has one thread"
    for line in sys.stdin:
        request = json.loads(line)
        answer: int | None
        if "poll" in request:
            pid, status = os.waitpid(request["poll"], os.WNOHANG)
            answer = os.waitstatus_to_exitcode(status) if pid else None
        else:
            answer = os.fork()
            if answer == 0:
                return _become(request)
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()
    return None


def _import_what_commands_need() -> None:
    for name in _PRELOADED:
        importlib.import_module(name)
    read_migrations_once()
    with dagster.DagsterInstance.ephemeral():  # imports Dagster's storage
        pass
    gc.collect()
    gc.freeze()  # no command looks through these objects, nor copies their memory by doing so


def _become(request: Mapping[str, Any]) -> None:
    """Be the command in this process, to the exit handlers."""
    os.setsid()
    for descriptor, name, flags in (
        (0, "stdin", os.O_RDONLY),
        (1, "stdout", os.O_WRONLY | os.O_APPEND),
        (2, "stdout" if request["merged"] else "stderr", os.O_WRONLY | os.O_APPEND),
    ):
        opened = os.open(os.path.join(request["files"], name), flags)
        os.dup2(opened, descriptor)
        os.close(opened)
    sys.stdin = os.fdopen(os.dup(0), encoding="utf-8")
    os.chdir(request["folder"])
    if not request["keep"]:
        os.environ.clear()
    os.environ.update(request["variables"])
    tempfile.tempdir = None
    arguments = request["arguments"]
    sys.argv = ["voice", *arguments]
    if arguments == ["publish", "asset"]:
        _publish_asset()
        return
    from voice_assets import cli

    exec(request["code"], {"app": cli.app})
    cli.main()


def _publish_asset() -> None:
    from voice_assets.definitions import build_definitions
    from voice_assets.instance import open_instance
    from voice_core.settings import Settings

    job = build_definitions(Settings.load()).resolve_job_def("publish")
    job.execute_in_process(instance=open_instance(), raise_on_error=False)


def _end(status: int) -> NoReturn:
    """End as an interpreter does, without the destructors of C++ libraries: in a fork, they may abort it."""
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    os._exit(status)


if __name__ == "__main__":
    try:
        _serve()
    except SystemExit as ended:
        if ended.code is None or isinstance(ended.code, int):
            _end(ended.code or 0)
        sys.stderr.write(f"{ended.code}\n")
        _end(1)
    except BaseException:  # noqa: BLE001 - as the interpreter, which prints any
        traceback.print_exc()
        _end(1)
    _end(0)
