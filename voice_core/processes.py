"""Which process holds something, and whether it is still alive."""

import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Process:
    """A process of some machine. `boot` differs between machines and between starts of one, `started` between two
    processes that had the same pid; both are empty where the system does not tell."""

    host: str
    boot: str
    pid: int
    started: str

    @classmethod
    def me(cls) -> "Process":
        pid = os.getpid()
        return cls(socket.gethostname(), _boot_id(), pid, _started(pid))

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
    def here(self) -> bool:
        """Whether it is, or was, one of this machine since its last start."""
        return bool(self.boot) and self.boot == _boot_id() and self.host == socket.gethostname()

    @property
    def is_dead(self) -> bool:
        """Whether it is known to be no more: False for processes of other machines, about which nothing is known."""
        return self.here and _started(self.pid) != self.started

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}"


def _boot_id() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
    except OSError:
        return ""


def _started(pid: int) -> str:
    """When a process started, in the kernel's ticks; empty where there is none, or but its remains."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text("utf-8", "replace").rpartition(")")[2].split()
        return "" if fields[0] in "ZX" else fields[19]
    except (OSError, IndexError):
        return ""
