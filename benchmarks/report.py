"""What a benchmark hands back, and how it is shown and kept."""

import dataclasses
import importlib.metadata
import json
import os
import platform
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.table import Table

from benchmarks.common import Options
from voice_core.compute.workers import core_count

RESULTS: Final = Path(__file__).with_name("results")
_LIBRARIES: Final = (
    "av",
    "datasets",
    "librosa",
    "loky",
    "neucodec",
    "numpy",
    "obstore",
    "pyarrow",
    "soundfile",
    "torch",
    "transformers",
)


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
    rows: Sequence[Sequence[str]]
    goals: list[Goal]
    notes: list[str]
    details: dict[str, Any] = field(default_factory=dict)
    name: str = ""  # of the file, where it is not the benchmark's


def describe_machine() -> dict[str, Any]:
    model = re.search(r"model name\s*:\s*(.+)", _text("/proc/cpuinfo"))
    memory = re.search(r"MemTotal:\s+(\d+) kB", _text("/proc/meminfo"))
    return {
        "cpu": model[1] if model else platform.processor(),
        "cores": core_count(),
        "memory_gib": round(int(memory[1]) / 2**20, 1) if memory else None,
        "python": platform.python_version(),
        "libraries": {name: version for name in _LIBRARIES if (version := _version(name))},
        "load_before": [round(value, 2) for value in os.getloadavg()],
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def _text(path: str) -> str:
    return Path(path).read_text(encoding="utf-8") if Path(path).exists() else ""


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return ""


def extract_prediction(doc: str) -> str:
    """The paragraph of a script's docstring that says what was expected before anything was measured.

    >>> extract_prediction("A title.\\n\\nPrediction: ten\\ntimes.\\n\\nMore.")
    'ten times.'
    """
    return " ".join(doc.partition("Prediction:")[2].partition("\n\n")[0].split())


def print_and_save(name: str, doc: str, about: Mapping[str, Any], options: Options, report: Report) -> None:
    """Print the table, the goals and the prediction; write them with every single run to `<folder>/<name>.json`."""
    console = Console()
    console.print(doc.splitlines()[0], style="bold", highlight=False)
    table = Table()
    for number, column in enumerate(report.columns):
        table.add_column(column, justify="right" if number else "left")
    for row in report.rows:
        table.add_row(*row)
    console.print(table)
    for note in report.notes:
        console.print(note, highlight=False, style="dim")
    for goal in report.goals:
        console.print(f"[green]met[/]    {goal}" if goal.met else f"[red]missed[/] {goal}", highlight=False)
    console.print(f"Expected beforehand: {extract_prediction(doc)}\n", highlight=False)
    folder = options.folder
    if folder is None:
        return
    folder.mkdir(parents=True, exist_ok=True)
    value = {
        "benchmark": name,
        "prediction": extract_prediction(doc),
        "outcome": [{"goal": str(goal), "met": goal.met, **dataclasses.asdict(goal)} for goal in report.goals],
        "machine": about,
        "options": {"runs": options.runs, "quick": options.quick},
        "table": [dict(zip(report.columns, row, strict=True)) for row in report.rows],
        "notes": report.notes,
        **report.details,
    }
    path = folder / f"{report.name or name}.json"
    path.write_text(json.dumps(value, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    console.print(f"Written to {path}\n")
