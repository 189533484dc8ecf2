"""Many `voice` commands, each in a process of its own with its own variables, without the seconds that imports take.

A server process imports what commands need; each command is a fork of it.
"""

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO

_PROJECT = Path(__file__).parents[2]
_INHERITED_PREFIXES = ("VOICE_", "AWS_", "GOOGLE_", "HF_", "DAGSTER_HOME")


@dataclass(frozen=True, slots=True)
class CommandResult:
    code: int
    output: str  # standard output and error


@dataclass(slots=True)
class CommandServer:
    process: "subprocess.Popen[str]"

    def run(self, folder: Path, variables: Mapping[str, str], *arguments: str) -> CommandResult:
        """Run a command in a folder; `publish asset` as its arguments runs Dagster's job `publish`."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        request = {"folder": str(folder), "variables": dict(variables), "arguments": list(arguments)}
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        return CommandResult(**json.loads(self.process.stdout.readline()))


@contextlib.contextmanager
def run_command_server() -> Iterator[CommandServer]:
    """The server; it ends with the block."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(_INHERITED_PREFIXES)}
    environment |= {"PYTHONPATH": str(_PROJECT), "HF_HUB_DISABLE_XET": "1", "COLUMNS": "1000"}
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
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        ) as process,
    ):
        yield CommandServer(process)
        assert process.stdin is not None
        process.stdin.close()


def _serve() -> None:
    import huggingface_hub  # noqa: F401

    import voice_assets.definitions  # noqa: F401
    from voice_core.publish import hub  # noqa: F401

    for line in sys.stdin:
        request = json.loads(line)
        with tempfile.TemporaryFile() as output:
            child = os.fork()
            if child == 0:
                _run(output, request["folder"], request["variables"], request["arguments"])
            code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
            output.seek(0)
            done = {"code": code, "output": output.read().decode(errors="replace")}
        sys.stdout.write(json.dumps(done) + "\n")
        sys.stdout.flush()


def _run(output: IO[bytes], folder: str, variables: Mapping[str, str], arguments: list[str]) -> None:
    """Be the command, and end this process."""
    code = 1
    try:
        for descriptor in (1, 2):
            os.dup2(output.fileno(), descriptor)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        sys.stdin = os.fdopen(0)
        os.chdir(folder)
        os.environ.update(variables)
        sys.argv = ["voice", *arguments]
        if arguments == ["publish", "asset"]:
            _publish_asset()
        else:
            from voice_assets.cli import main

            main()
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:  # noqa: BLE001 - told as Python tells it
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _publish_asset() -> None:
    from voice_assets.definitions import build_definitions
    from voice_assets.instance import open_instance
    from voice_core.settings import Settings

    job = build_definitions(Settings.load()).resolve_job_def("publish")
    job.execute_in_process(instance=open_instance(), raise_on_error=False)


if __name__ == "__main__":
    _serve()
