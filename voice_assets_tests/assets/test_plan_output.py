"""`voice plan` for people and for programs: it writes nothing, and shows what is done and how long it takes."""

import hashlib
import json
import shutil
from pathlib import Path

from typer.testing import CliRunner

from voice_assets.cli import app
from voice_assets.cli.output import console
from voice_assets_tests.assets.conftest import BuiltCorpus, correct_a_line


def state_of(folder: Path) -> dict[str, tuple[str, int]]:
    """Content and time of every file below a folder."""
    return {
        str(path.relative_to(folder)): (hashlib.sha256(path.read_bytes()).hexdigest(), path.stat().st_mtime_ns)
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_nothing_is_written_and_nothing_is_discovered(built_corpus: BuiltCorpus) -> None:
    (built_corpus.raw / "second-radio").mkdir()
    for path in sorted((built_corpus.raw / "harbour-radio").glob("snow-006.*")):
        shutil.copy(path, built_corpus.raw / "second-radio" / path.name)
    correct_a_line(built_corpus)
    before = state_of(built_corpus.work)
    folders = sorted(path for path in built_corpus.work.rglob("*") if path.is_dir())
    for arguments in (["plan"], ["plan", "--json"], ["plan", "-p", "Atheer_-/batch-0001", "--encode-speed", "40"]):
        assert CliRunner().invoke(app, arguments).exit_code == 0
    assert state_of(built_corpus.work) == before
    assert sorted(path for path in built_corpus.work.rglob("*") if path.is_dir()) == folders


def test_programs_read_the_plan_as_json(built_corpus: BuiltCorpus) -> None:
    built_corpus.edit_transcript(
        "Atheer_-/atheer_0003.json", lambda lines: lines[2].update(text="Put right by hand, too.")
    )
    built_corpus.build()
    correct_a_line(built_corpus)
    value = json.loads(CliRunner().invoke(app, ["plan", "--json"]).stdout)
    (item,) = value["partitions"]
    assert item["partition"] == "Atheer_-/batch-0001"
    assert item["decode"]["items"] == {"value": 1, "exact": True}
    assert item["cut"] == {"value": 1, "exact": True}
    assert item["encode"]["items"] == {"value": 1, "exact": False}
    assert value["total"]["encode"]["items"]["value"] == 1
    assert [time["unit"] for time in value["time"]] == ["CPU minutes"] * 3
    assert all(time["minutes"] is not None for time in value["time"])
    assert value["time"][1]["speeds"][0]["host"]


def test_people_read_what_is_done_moved_and_how_long_it_takes(fresh_corpus: BuiltCorpus) -> None:
    fresh_corpus.monkeypatch.setattr(console, "width", 200)
    shown = CliRunner().invoke(app, ["plan"])
    assert shown.exit_code == 0
    for part in ("Planned work", "harbour-radio/batch-0001", "≈", "Data volume (GB)"):
        assert part in shown.stdout
    assert "no measured speed yet: run one batch first, or give --cut-speed" in shown.stdout
    assert "or give --encode-speed" in shown.stdout
    given = CliRunner().invoke(app, ["plan", "--encode-speed", "40", "--cut-speed", "300"])
    assert "option" in given.stdout
    assert "40.0" in given.stdout
