"""What the benchmarks share: timing, medians, goals, the table and the JSON file."""

import dataclasses
import importlib.metadata
import json
import os
import platform
import re
import statistics
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.table import Table

from voice_core.workers import core_count, unordered

RESULTS: Final = Path(__file__).with_name("results")
_LIBRARIES = ("av", "datasets", "librosa", "loky", "numpy", "obstore", "pyarrow", "soundfile")
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


@dataclass(frozen=True, slots=True)
class Goal:
    """What was asked for: `value` at least (or at most) `bound`."""

    what: str
    value: float
    bound: float
    at_least: bool
    unit: str = ""

    @property
    def met(self) -> bool:
        return self.value >= self.bound if self.at_least else self.value <= self.bound

    def __str__(self) -> str:
        sign = "≥" if self.at_least else "≤"
        return f"{self.what}: {self.value:.3g}{self.unit}, goal {sign} {self.bound:g}{self.unit}"


@dataclass(slots=True)
class Report:
    """What a benchmark found. `rows` is the table, `columns` its header; `details` goes to the file alone."""

    columns: Sequence[str]
    rows: list[Sequence[str]]
    goals: list[Goal]
    notes: list[str]
    details: dict[str, Any] = field(default_factory=dict)


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


def machine() -> dict[str, Any]:
    model = re.search(r"model name\s*:\s*(.+)", _read("/proc/cpuinfo"))
    memory = re.search(r"MemTotal:\s+(\d+) kB", _read("/proc/meminfo"))
    return {
        "cpu": model[1] if model else platform.processor(),
        "cores": core_count(),
        "memory_gib": round(int(memory[1]) / 2**20, 1) if memory else None,
        "python": platform.python_version(),
        "libraries": {name: version for name in _LIBRARIES if (version := _version(name))},
        "load_before": [round(value, 2) for value in os.getloadavg()],
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return ""


def prediction(doc: str) -> str:
    """The paragraph of a script's docstring that says what was expected before anything was measured.

    >>> prediction("A title.\\n\\nPrediction: ten\\ntimes.\\n\\nMore.")
    'ten times.'
    """
    return " ".join(doc.partition("Prediction:")[2].partition("\n\n")[0].split())


def publish(
    name: str, doc: str, about: Mapping[str, Any], options: Options, report: Report, folder: Path | None
) -> None:
    """Print the table, the goals and the prediction; write them with every single run to `<folder>/<name>.json`."""
    console = Console()
    table = Table(title=doc.splitlines()[0], title_justify="left", title_style="bold")
    for number, column in enumerate(report.columns):
        table.add_column(column, justify="right" if number else "left")
    for row in report.rows:
        table.add_row(*row)
    console.print(table)
    for note in report.notes:
        console.print(note, highlight=False, style="dim")
    for goal in report.goals:
        console.print(f"[green]met[/]    {goal}" if goal.met else f"[red]missed[/] {goal}", highlight=False)
    console.print(f"Expected beforehand: {prediction(doc)}\n", highlight=False)
    if folder is None:
        return
    folder.mkdir(parents=True, exist_ok=True)
    value = {
        "benchmark": name,
        "prediction": prediction(doc),
        "outcome": [{"goal": str(goal), "met": goal.met, **dataclasses.asdict(goal)} for goal in report.goals],
        "machine": about,
        "options": dataclasses.asdict(options),
        "table": [dict(zip(report.columns, row, strict=True)) for row in report.rows],
        "notes": report.notes,
        **report.details,
    }
    path = folder / f"{name}.json"
    path.write_text(json.dumps(value, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    console.print(f"Written to {path}\n")


def raw_runs(samples: Mapping[str, Sequence[Sample]]) -> dict[str, list[dict[str, float]]]:
    """Every single run, for the file."""
    return {
        name: [{"wall_sec": round(one.wall_sec, 4), "cpu_sec": round(one.cpu_sec, 2)} for one in found]
        for name, found in samples.items()
    }
