"""`make soak`: everything that `make test` does a few rounds of, at full number. Ends with a table and its figures."""

import argparse
import json
import tempfile
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from voice_assets_tests.dagster_home import PROJECT
from voice_assets_tests.soak.rounds import soak_tests
from voice_assets_tests.soak.soak_result import SoakResult

RESULTS = PROJECT / "benchmarks" / "results" / "soak.json"
console = Console()


def main() -> None:
    parser = argparse.ArgumentParser(prog="make soak", description=__doc__)
    parser.add_argument("--only", choices=soak_tests(), action="append", help="Only these tests.")
    parser.add_argument("--share", type=float, default=1.0, help="Share of each test's rounds; at least one is done.")
    options = parser.parse_args()
    results: list[SoakResult] = []
    with tempfile.TemporaryDirectory(prefix="voice-soak-") as folder:
        for name, test in soak_tests().items():
            if not options.only or name in options.only:
                console.print(test.NAME)
                (Path(folder) / name).mkdir()
                results += test.run(Path(folder) / name, max(1, round(test.ROUNDS * options.share)), _print_line)
    console.print(make_table(results))
    if options.share == 1.0:
        store_results(results, RESULTS, all_of_them=not options.only)
    if any(item.wrong for item in results):
        raise SystemExit(1)


def make_table(results: Sequence[SoakResult]) -> Table:
    """A row a result: what was done, how often, how many results were compared, and how many of them were wrong."""
    table = Table(title="Soak tests", title_justify="left")
    for name in ("what", "rounds", "compared", "wrong", "minutes", "note"):
        table.add_column(name, justify="left" if name in ("what", "note") else "right")
    for item in results:
        figures = (item.rounds, item.compared, item.wrong, f"{item.wall_sec / 60:.1f}", item.note)
        table.add_row(item.what, *map(str, figures))
    return table


def store_results(results: Sequence[SoakResult], path: Path, *, all_of_them: bool) -> None:
    """Write the figures; those of tests that did not run are kept unless all ran."""
    stored = [] if all_of_them or not path.is_file() else json.loads(path.read_text())
    rows = {item.what: item.to_row() for item in results}
    kept = [row for row in stored if row["what"] not in rows]
    path.write_text(json.dumps([*kept, *rows.values()], indent=1) + "\n")


def _print_line(line: str) -> None:
    console.print(f"  {line}", markup=False, highlight=False)


if __name__ == "__main__":
    main()
