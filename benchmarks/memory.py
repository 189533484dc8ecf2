"""Memory: one recording of ten hours through cutting and into rows.

Each stage runs in a separate process, whose memory and that of all it starts is read from /proc while it
runs: VmHWM, the most that was ever resident. "in process": the recording is alone in its batch, so no worker is
started. "in a worker": the batch has a second, short recording, so the pool is used. The rows are built without codes.

Prediction: 250 MiB in process and 550 MiB over main process and two workers, most of it libraries, since audio
goes through a second at a time and 8 MiB of segments are held at most; ten hours take 70 s to cut, on one core.
"""

import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Final

from benchmarks.common import Options, peak_rss_bytes, process_tree
from benchmarks.report import Goal, Report
from benchmarks.speech_corpus import benchmark_settings, discover_partitions, open_stores
from voice_core.corpus.dataset.rows_stage import build_dataset
from voice_core.corpus.dataset.splits import Splits
from voice_core.corpus.ingest.batches import list_partitions
from voice_core.corpus.segment.segment_stage import build_segments
from voice_core.demo.long_recording import write_long_recording

_MIB: Final = 2**20
_POLL_SEC: Final = 0.02


def measure(options: Options) -> Report:
    hours = 0.5 if options.quick else 10.0
    table: list[list[str]] = []
    details: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(prefix="voice-bench-") as folder:
        raw, work = Path(folder, "raw"), Path(folder, "work")
        long = write_long_recording(raw / "long" / "long.mp3", hours)
        for case in ("in process", "in a worker"):
            if case == "in a worker":
                write_long_recording(raw / "long" / "short.mp3", 0.1)
            shutil.rmtree(work, ignore_errors=True)
            for stage in STAGES:
                name = stage if stage == "dataset" else f"{stage}, {case}"
                if name in details:
                    continue  # rows are written by threads: once is enough
                wall_sec, main, workers = _run_measured(stage, raw, work)
                total = (main + sum(workers)) / _MIB
                largest = f"{max(workers) / _MIB:,.0f}" if workers else "–"
                speed = f"{long.duration_sec / wall_sec:,.0f}"
                table.append([name, f"{wall_sec:.1f}", speed, f"{main / _MIB:,.0f}", largest, f"{total:,.0f}"])
                details[name] = {"wall_sec": wall_sec, "main_bytes": main, "workers_bytes": workers, "mib": total}
    worst = max(found["mib"] for found in details.values())
    return Report(
        columns=["stage", "s", "× real time", "main MiB", "largest worker", "sum MiB"],
        rows=table,
        goals=[Goal("peak of all processes together", worst, 1024, at_least=False, unit=" MiB")],
        notes=[f"{long.duration_sec / 3600:.1f} h, {long.line_count:,} lines; one run; imports are within the time"],
        details={"stages": details},
    )


def _run_measured(stage: str, raw: Path, work: Path) -> tuple[float, int, list[int]]:
    """Run a stage in a new process; its wall time, its own peak, and the peaks of those it started, in bytes."""
    command = [sys.executable, "-m", "benchmarks.memory", stage, str(raw), str(work)]
    started = time.perf_counter()
    peaks: dict[int, int] = {}
    with subprocess.Popen(command, cwd=Path(__file__).parents[1]) as child:
        while child.poll() is None:
            for pid in process_tree(child.pid):
                peaks[pid] = max(peaks.get(pid, 0), peak_rss_bytes(pid))
            time.sleep(_POLL_SEC)
        main = peaks.pop(child.pid)
    if child.returncode:
        raise RuntimeError(f"{' '.join(command)} ended with {child.returncode}")
    return time.perf_counter() - started, main, sorted(peaks.values(), reverse=True)


def _segments(raw: Path, work: Path) -> None:
    settings = benchmark_settings(raw, work)
    (partition,) = discover_partitions(settings)
    build_segments(*open_stores(settings), partition, settings)


def _dataset(raw: Path, work: Path) -> None:
    settings = benchmark_settings(raw, work, codec="none")
    _, store = open_stores(settings)
    (partition,) = list_partitions(store)
    build_dataset(store, partition, Splits(frozenset(), frozenset()), settings)


STAGES: Final = {"segments": _segments, "dataset": _dataset}

if __name__ == "__main__":
    STAGES[sys.argv[1]](Path(sys.argv[2]), Path(sys.argv[3]))
