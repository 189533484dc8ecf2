"""Identify a process, and find out whether it is still running."""

import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Process:
    """A process of some machine.

    `boot` differs between machines, between boots of one, and between PID namespaces; `started` differs between two
    processes with the same pid. Both are empty where the system does not provide them (no /proc).
    """

    host: str
    boot: str
    pid: int
    started: str

    @classmethod
    def current(cls) -> "Process":
        pid = os.getpid()
        return cls(socket.gethostname(), _read_boot_id(), pid, _read_start_ticks(pid) or "")

    @classmethod
    def parse(cls, value: Mapping[str, object]) -> "Process | None":
        """The process that a record names; None if it names none.

        >>> Process.parse({"host": "h", "boot": "b", "pid": 7, "started": "1", "renewed": 3})
        Process(host='h', boot='b', pid=7, started='1')
        >>> Process.parse({"host": "h"})
        """
        try:
            return cls(str(value["host"]), str(value["boot"]), int(str(value["pid"])), str(value["started"]))
        except (KeyError, ValueError):
            return None

    @property
    def is_local(self) -> bool:
        """Whether it is, or was, in the PID namespace of this process."""
        return bool(self.boot) and self.boot == _read_boot_id() and self.host == socket.gethostname()

    @property
    def is_dead(self) -> bool:
        """Whether it is known to have ended. False for processes of other machines, whose state is unknown."""
        if not self.is_local:
            return False
        started = _read_start_ticks(self.pid)
        return not _exists(self.pid) if started is None else started != self.started

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}"


def _read_boot_id() -> str:
    """The boot of the machine and the PID namespace: a container with the host's network also has its host name.

    Records of versions that did not note the namespace match no process: they count as processes of another machine.
    """
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
        return f"{boot}/{os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return ""


def _read_start_ticks(pid: int) -> str | None:
    """The start time of a process in clock ticks; empty for a zombie, None if it cannot be read."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text("utf-8", "replace").rpartition(")")[2].split()
        return "" if fields[0] in "ZX" else fields[19]
    except (OSError, IndexError):
        return None


def _exists(pid: int) -> bool:
    """Whether a process exists, also where /proc hides those of other users (hidepid)."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True
