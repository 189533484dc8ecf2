"""Memory of audiobooks: what a book of a million words needs beyond one of a hundred thousand.

Noise at 8 kHz speaks in hibari's place; tier 1 measures it, each chunk is tried once, and the book becomes an m4b.
Every build runs in a process of its own, whose memory, with that of all that it starts, is read from /proc; a shared
page counts once.

Prediction: the rows of a million words are 37,000 chunks. Packed, the text and the speech of one take 0.8 kB, so 28 MB
in all; identities and the parts of a manifest that is written take 20 MB more.
"""

import tempfile
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Final

from benchmarks.audiobook_corpus import generate_book
from benchmarks.audiobook_run import Build, Built, run_build, table_row, write_book
from benchmarks.common import Options
from benchmarks.report import Goal, Report

_ONE_TRY: Final = "max_retries: 0\n"
_NOISE_HZ: Final = 8_000


def measure(options: Options) -> Report:
    rows: list[list[str]] = []
    details: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(prefix="voice-bench-") as name:
        goals = _measure_growth(Path(name), (1_000, 4_000) if options.quick else (100_000, 1_000_000), rows, details)
    notes = ["generated text; each book was built once", "MiB is the most that all processes held together"]
    return Report(["what", "found", "wall s", "CPU s", "MiB"], rows, goals, notes, details)


def _measure_growth(folder: Path, sizes: tuple[int, int], rows: list[list[str]], details: dict[str, Any]) -> list[Goal]:
    (folder / "validation_config.yaml").write_text(_ONE_TRY, encoding="utf-8")
    found: list[Built] = []
    for words in sizes:
        where = folder / f"noise-{words}"
        write_book(where, generate_book(words))
        build = Build(str(where), engine="noise", sample_rate_hz=_NOISE_HZ)
        build = replace(build, validation=str(folder / "validation_config.yaml"))
        found.append(run_build(build))
        stages = ", ".join(f"{stage} {taken:.0f} s" for stage, taken in found[-1].stages.items())
        rows.append(table_row(f"noise, {words:,} words, {found[-1].chunks:,} chunks: {stages}", "", found[-1]))
    grown = (found[1].peak_mib - found[0].peak_mib) * 2**20 / 1e6
    rows.append(["grown", f"{grown:.0f} MB", "", "", ""])
    details["growth"] = {str(words): asdict(built) for words, built in zip(sizes, found, strict=True)}
    return [
        Goal(f"memory grown from {sizes[0]:,} to {sizes[1]:,} words", grown, 50, at_least=False, unit=" MB"),
        Goal(f"memory of all processes, {sizes[1]:,} words", found[1].peak_mib, 1024, at_least=False, unit=" MiB"),
    ]
