"""Audiobooks: equal bytes whatever speaks them, speed with two cores, a novel, and what an edit costs.

The book is the file that BENCH_BOOK names, or generated text. Every build runs in a process of its own, whose time and
memory, with those of all that it starts, are read from /proc; a shared page counts once. "One worker" speaks in the
main process, "two workers" in two processes beside it; in both, the main process validates. Speed is also given
beyond a build of a few sentences. The novel is read, spoken, validated by tier 1, mastered and written as m4b by
two workers and on two cores; then it is built again, and again with one word of it changed.

Prediction: all hashes are equal. hibari takes 6 ms of CPU for a second of speech, validation and FLAC 1.5 ms, AAC
3.5 ms and the rest of mastering 1 ms, so 12 ms in all: 43,000 s of speech take 260 s on two cores, which is 2,600
characters a second. Two workers speak 1.9 times as fast as one beyond the start. Two engines of 350 MiB and a main
process of 230 MiB stay below 1 GiB.
"""

import os
import re
import statistics
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from benchmarks.audiobook_corpus import book_text
from benchmarks.audiobook_run import Build, Built, hash_files, run_build, table_row, write_book
from benchmarks.common import Options, machine_cpu_sec
from benchmarks.report import Goal, Report
from voice_core.synthesis import Backend

_KINDS: Final[tuple[tuple[Backend, int], ...]] = (
    ("serial", 1), ("thread", 2), ("thread", 4), ("process", 1), ("process", 2), ("process", 4)
)  # fmt: skip
_FORMATS: Final = ("m4b", "vtt", "epub")


def measure(options: Options) -> Report:
    rows: list[list[str]] = []
    details: dict[str, Any] = {}
    goals: list[Goal] = []
    with tempfile.TemporaryDirectory(prefix="voice-bench-") as name:
        folder = Path(name)
        goals += _measure_novel(folder / "novel", 1_500 if options.quick else 120_000, rows, details)
        goals += _measure_workers(folder, options, rows, details)
        goals += _measure_exactness(folder, 300 if options.quick else 2_000, rows, details)
    _, source = book_text(100)
    notes = [
        f"book: {source}; the novel was built once",
        "seconds are wall time with the start of Python, except for stages and second builds; MiB is the most that all "
        "processes held together, a shared page counted once",
    ]
    return Report(["what", "found", "wall s", "CPU s", "MiB"], rows, goals, notes, details)


def _measure_novel(folder: Path, words: int, rows: list[list[str]], details: dict[str, Any]) -> list[Goal]:
    text, _ = book_text(words)
    write_book(folder, text)
    build = Build(str(folder))
    busy = machine_cpu_sec()
    novel = run_build(build)
    others = max(0.0, machine_cpu_sec() - busy - novel.cpu_sec) / novel.wall_sec / (os.cpu_count() or 1)
    again = run_build(build)
    write_book(folder, _change_word(text))
    edited = run_build(build)
    stages = ", ".join(f"{stage} {taken:.1f} s" for stage, taken in novel.stages.items())
    speed = novel.characters / novel.wall_sec
    rows += [
        table_row(
            f"novel, {len(text.split()):,} words: {stages}", f"{novel.characters / novel.wall_sec:,.0f} char/s", novel
        ),
        table_row("the novel built again", f"{again.spoken} spoken, {again.mastered} mastered", again),
        table_row("one word changed", f"{edited.spoken} spoken, {edited.mastered} mastered", edited),
        [f"  other programs kept {others:.0%} of the cores busy during the novel", "", "", "", ""],
    ]
    details["novel"] = {
        "words": len(text.split()),
        "others_share": round(others, 3),
        "first": asdict(novel),
        "again": asdict(again),
        "edited": asdict(edited),
    }
    return [
        Goal("novel to m4b, two cores", novel.wall_sec, 300, at_least=False, unit=" s"),
        Goal("characters a second", speed, 2_200, at_least=True),
        Goal("memory of all processes, novel", novel.peak_mib, 1024, at_least=False, unit=" MiB"),
        Goal("second build", again.building_sec, 5, at_least=False, unit=" s"),
        Goal("second build: spoken and mastered", again.spoken + again.mastered, 0, at_least=False),
        Goal("one word changed: utterances spoken", edited.spoken, 1, at_least=False),
        Goal("one word changed: chapters mastered", edited.mastered, 1, at_least=False),
    ]


def _change_word(text: str) -> str:
    """The text with one word changed, in the middle."""
    middle = len(text) // 2
    return text[:middle] + re.sub(r"\b(\w+)(\s+)the\b", r"\1\2that", text[middle:], count=1)


def _measure_workers(folder: Path, options: Options, rows: list[list[str]], details: dict[str, Any]) -> list[Goal]:
    """Speech by one and by two workers, in turns."""
    texts = {"start": book_text(150)[0], "book": book_text(600 if options.quick else 10_000)[0]}
    found: dict[tuple[str, int], list[Built]] = {}
    for turn in range(1 if options.quick else options.runs):
        for workers in (1, 2) if turn % 2 == 0 else (2, 1):
            for part, text in texts.items():
                where = folder / f"workers-{turn}-{workers}-{part}"
                write_book(where, text)
                build = Build(str(where), "serial" if workers == 1 else "process", workers, speech_only=True)
                found.setdefault((part, workers), []).append(run_build(build))
    seconds = {case: statistics.median(one.stages["speech"] for one in builds) for case, builds in found.items()}
    beyond = {workers: seconds["book", workers] - seconds["start", workers] for workers in (1, 2)}
    speech = found["book", 1][0].speech_sec - found["start", 1][0].speech_sec
    whole = seconds["book", 1] / seconds["book", 2]
    for workers in (1, 2):
        cpu = statistics.median(one.cpu_sec for one in found["book", workers]) - statistics.median(
            one.cpu_sec for one in found["start", workers]
        )
        label = (
            f"speech, {workers} worker{'s' if workers > 1 else ''}, beyond {seconds['start', workers]:.1f} s of start"
        )
        rows.append([label, f"{speech / beyond[workers]:.0f} × real time", f"{beyond[workers]:.1f}", f"{cpu:.1f}", ""])
    rows.append(
        ["two workers against one", f"{beyond[1] / beyond[2]:.2f} × ({whole:.2f} × with the start)", "", "", ""]
    )
    details["workers"] = {
        f"{part}, {workers}": [asdict(one) for one in builds] for (part, workers), builds in found.items()
    }
    return [Goal("speech, two workers against one, beyond the start", beyond[1] / beyond[2], 1.9, True, " ×")]


def _measure_exactness(folder: Path, words: int, rows: list[list[str]], details: dict[str, Any]) -> list[Goal]:
    text, _ = book_text(words)
    hashes: dict[str, dict[str, dict[str, str]]] = {}
    for backend, workers in _KINDS:
        where = folder / f"exact-{backend}-{workers}"
        write_book(where, text)
        build = Build(str(where), backend, workers, _FORMATS)
        built = run_build(build)
        name = f"{backend}, {workers}"
        hashes[name] = hash_files(build)
        rows.append(table_row(f"bytes: {name}", f"{sum(map(len, hashes[name].values()))} files", built))
    first = next(iter(hashes.values()))
    wanted = {(kind, key, digest) for kind, files in first.items() for key, digest in files.items()}
    differing = {
        name: len(wanted ^ {(kind, key, digest) for kind, files in found.items() for key, digest in files.items()})
        for name, found in hashes.items()
    }
    counts = ", ".join(f"{kind} {len(files)}" for kind, files in sorted(first.items()))
    rows.append([f"files that differ between them ({counts})", f"{sum(differing.values())}", "", "", ""])
    details["exactness"] = {"files": {kind: len(files) for kind, files in first.items()}, "differing": differing}
    return [Goal("files that differ by backend or workers", sum(differing.values()), 0, at_least=False)]
