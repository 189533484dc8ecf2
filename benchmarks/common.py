"""What the benchmarks share: timing, medians, and what /proc says of processes."""

import os
import re
import statistics
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from voice_core.workers import core_count, unordered

_TICKS_PER_SEC = os.sysconf("SC_CLK_TCK")

Prepare = Callable[[], Callable[[], object]]


@dataclass(frozen=True, slots=True)
class Options:
    """How to measure. `quick` uses a fraction of the material: to see that it works, not to quote."""

    runs: int
    quick: bool


@dataclass(frozen=True, slots=True)
class Sample:
    """One timed call: wall time, and CPU time of this process and its living children, in seconds."""

    wall_sec: float
    cpu_sec: float


def timed(call: Callable[[], object]) -> Sample:
    cpu, wall = cpu_sec(), time.perf_counter()
    call()
    return Sample(time.perf_counter() - wall, cpu_sec() - cpu)


def interleaved(cases: Mapping[str, Prepare], runs: int) -> dict[str, list[Sample]]:
    """Time every case `runs` times, turn by turn, so that what disturbs the machine disturbs all alike.

    Each round begins with another case. A case is a function that prepares, untimed, and returns what to time.
    """
    names = list(cases)
    samples: dict[str, list[Sample]] = {name: [] for name in names}
    for number in range(runs):
        turn = number % len(names)
        for name in names[turn:] + names[:turn]:
            samples[name].append(timed(cases[name]()))
    return samples


def median_sec(samples: Iterable[Sample]) -> float:
    return statistics.median(sample.wall_sec for sample in samples)


def utilisation(samples: Iterable[Sample]) -> float:
    """Median share of all cores that was busy."""
    return statistics.median(sample.cpu_sec / sample.wall_sec / core_count() for sample in samples)


def cpu_sec() -> float:
    """User and system time of this process and of its descendants that live, as /proc has it (10 ms steps)."""
    stats = (_read(f"/proc/{pid}/stat").rpartition(")")[2].split() for pid in process_tree(os.getpid()))
    return sum(int(fields[11]) + int(fields[12]) for fields in stats if fields) / _TICKS_PER_SEC


def process_tree(root: int) -> list[int]:
    """A process and its living descendants."""
    parents: dict[int, list[int]] = {}
    for path in Path("/proc").iterdir():
        fields = _read(f"{path}/stat").rpartition(")")[2].split() if path.name.isdigit() else []
        if fields:
            parents.setdefault(int(fields[1]), []).append(int(path.name))
    tree = [root]
    for pid in tree:
        tree += parents.get(pid, [])
    return tree


def peak_rss_bytes(pid: int) -> int:
    """The most memory a living process has held (VmHWM); 0 once it is gone."""
    found = re.search(r"VmHWM:\s+(\d+) kB", _read(f"/proc/{pid}/status"))
    return int(found[1]) * 1024 if found else 0


def _read(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, ProcessLookupError):  # it ended meanwhile
        return ""


def warm_workers() -> None:
    """Start the pool of worker processes, imports included, if it does not stand."""
    for _ in unordered(_touch, range(2 * core_count())):
        pass


def _touch(_: int) -> None:
    import voice_core.corpus.cut_recording  # noqa: F401

    time.sleep(0.05)  # long enough that every worker gets one


def raw_runs(samples: Mapping[str, Sequence[Sample]]) -> dict[str, list[dict[str, float]]]:
    """Every single run, for the file."""
    return {
        name: [{"wall_sec": round(one.wall_sec, 4), "cpu_sec": round(one.cpu_sec, 2)} for one in found]
        for name, found in samples.items()
    }
