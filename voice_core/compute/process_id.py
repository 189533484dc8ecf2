"""Which process holds something, and whether it is still alive."""

import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Process:
    """A process of some machine. `boot` differs between machines, between starts of one, and between containers that
    number their processes themselves, `started` between two processes that had the same pid; both are empty where the
    system does not tell."""

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
        """What a record says; None where it does not name a process.

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
        """Whether it is, or was, among those that this process can see by their pids."""
        return bool(self.boot) and self.boot == _read_boot_id() and self.host == socket.gethostname()

    @property
    def is_dead(self) -> bool:
        """Whether it is known to be no more: False for processes elsewhere, about which nothing is known."""
        if not self.is_local:
            return False
        started = _read_start_ticks(self.pid)
        return not _exists(self.pid) if started is None else started != self.started

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}"


def _read_boot_id() -> str:
    """The start of the machine, and whose pids are meant: containers with the host's network have its name, too.

    Records of before the latter was noted match nobody: they are processes of somewhere else.
    """
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
        return f"{boot}/{os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return ""


def _read_start_ticks(pid: int) -> str | None:
    """When a process started, in the kernel's ticks; empty where but its remains are there, None if nothing is told."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text("utf-8", "replace").rpartition(")")[2].split()
        return "" if fields[0] in "ZX" else fields[19]
    except (OSError, IndexError):
        return None


def _exists(pid: int) -> bool:
    """Whether there is a process, also where /proc hides those of others (hidepid)."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True
