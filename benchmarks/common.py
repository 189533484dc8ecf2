"""What the benchmarks share: timing, medians, and what /proc says of processes."""

import dataclasses
import os
import re
import statistics
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from voice_core.compute.workers import core_count, map_unordered

_TICKS_PER_SEC = os.sysconf("SC_CLK_TCK")

Prepare = Callable[[], Callable[[], object]]


@dataclass(frozen=True, slots=True)
class Options:
    """How to measure. `quick` uses a fraction of the material: to see that it works, not to quote.

    `folder` is where results are written, None for nowhere.
    """

    runs: int
    quick: bool
    folder: Path | None = None


@dataclass(frozen=True, slots=True)
class Sample:
    """One timed call: wall time, CPU time of this process and its living children, and of all others, in seconds."""

    wall_sec: float
    cpu_sec: float
    others_cpu_sec: float


def time_call(call: Callable[[], object]) -> Sample:
    cpu, everybody, wall = cpu_sec(), machine_cpu_sec(), time.perf_counter()
    call()
    wall_sec, own = time.perf_counter() - wall, cpu_sec() - cpu
    return Sample(wall_sec, own, max(0.0, machine_cpu_sec() - everybody - own))


def run_interleaved(cases: Mapping[str, Prepare], runs: int) -> dict[str, list[Sample]]:
    """Time every case `runs` times, turn by turn, so that what disturbs the machine disturbs all alike.

    Each round begins with another case. A case is a function that prepares, untimed, and returns what to time.
    """
    names = list(cases)
    samples: dict[str, list[Sample]] = {name: [] for name in names}
    for number in range(runs):
        turn = number % len(names)
        for name in names[turn:] + names[:turn]:
            samples[name].append(time_call(cases[name]()))
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


def machine_cpu_sec() -> float:
    """Time that the cores of the machine were busy since it started, with all programs."""
    fields = [int(value) for value in _read("/proc/stat").partition("\n")[0].split()[1:]]
    idle, waiting = fields[3:5]
    return (sum(fields[:8]) - idle - waiting) / _TICKS_PER_SEC


def describe_disturbance(samples: Mapping[str, Iterable[Sample]]) -> str:
    """What others took from the machine meanwhile: a sentence for the table's foot."""
    every = [sample for found in samples.values() for sample in found]
    taken = sum(one.others_cpu_sec for one in every) / sum(one.wall_sec for one in every) / core_count()
    return f"other programs kept {taken:.0%} of the cores busy meanwhile" + ("; measure again" if taken > 0.05 else "")


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
    for _ in map_unordered(_touch, range(2 * core_count())):
        pass


def _touch(_: int) -> None:
    import voice_core.corpus.segment.cut_recording  # noqa: F401

    time.sleep(0.05)  # long enough that every worker gets one


def runs_as_dicts(samples: Mapping[str, Sequence[Sample]]) -> dict[str, list[dict[str, float]]]:
    """Every single run, for the file."""
    return {
        name: [{field: round(value, 4) for field, value in dataclasses.asdict(one).items()} for one in found]
        for name, found in samples.items()
    }
