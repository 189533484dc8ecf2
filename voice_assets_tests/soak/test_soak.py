"""The soak tests register by lying in `soak/rounds`; their results are one table and one file of rows."""

import json
from pathlib import Path

from rich.console import Console

from voice_assets_tests.dagster_home import PROJECT
from voice_assets_tests.soak.__main__ import RESULTS, make_table, store_results
from voice_assets_tests.soak.rounds import simultaneous_builds, soak_tests
from voice_assets_tests.soak.soak_result import SoakResult


def test_every_module_of_rounds_is_a_soak_test() -> None:
    files = {path.stem for path in (PROJECT / "voice_assets_tests" / "soak" / "rounds").glob("[!_]*.py")}
    assert soak_tests().keys() == files
    for name, test in soak_tests().items():
        assert test.NAME, name
        assert test.ROUNDS >= 1, name
        assert callable(test.run), name
    assert len({test.NAME for test in soak_tests().values()}) == len(files)


def test_a_soak_test_runs_the_requested_rounds(tmp_path: Path) -> None:
    lines: list[str] = []
    (result,) = simultaneous_builds.run(tmp_path, 2, lines.append)
    assert (result.rounds, result.compared, result.wrong) == (2, 2, 0)
    assert len(lines) == 2


def test_the_table_says_how_many_were_compared_and_how_many_were_wrong() -> None:
    table = make_table([SoakResult("kill -9, file", 50, 27, 1, 90.0, "a note")])
    console = Console(width=120)
    with console.capture() as printed:
        console.print(table)
    lines = printed.get().replace("┃", "│").splitlines()
    rows = [[cell.strip() for cell in line.strip("│").split("│")] for line in lines]
    assert ["what", "rounds", "compared", "wrong", "minutes", "note"] in rows
    assert ["kill -9, file", "50", "27", "1", "1.5", "a note"] in rows


def test_results_of_tests_that_did_not_run_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "soak.json"
    store_results([SoakResult("a", 1, 1, 1, 1.0), SoakResult("b", 1, 1, 0, 1.0)], path, all_of_them=True)
    store_results([SoakResult("a", 2, 2, 0, 1.0, "peak 3 MiB")], path, all_of_them=False)
    assert json.loads(path.read_text()) == [
        {"what": "b", "rounds": 1, "compared": 1, "wrong": 0, "wall_sec": 1.0},
        {"what": "a", "rounds": 2, "compared": 2, "wrong": 0, "wall_sec": 1.0, "note": "peak 3 MiB"},
    ]


def test_the_stored_results_have_the_same_columns() -> None:
    for row in json.loads(RESULTS.read_text()):
        assert {"what", "rounds", "compared", "wrong", "wall_sec"} <= row.keys() <= {*SoakResult.__slots__}
