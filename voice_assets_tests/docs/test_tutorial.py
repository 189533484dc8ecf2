"""The commands of the tutorial and of the Moshi how-to do what their pages say."""

import os
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from voice_assets_tests.docs.layout import documented_places
from voice_assets_tests.docs.pages import DOCS, ROOT, Block, blocks
from voice_assets_tests.docs.voice_program import voice_program
from voice_assets_tests.files import files_below


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder as the tutorial's commands find it: with Dagster's home, and with `voice` and `python` on the path."""
    (tmp_path / "dagster_home").mkdir()
    shutil.copy(ROOT / "dagster_home" / "dagster.yaml", tmp_path / "dagster_home")
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "python").write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    (programs / "python").chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hub"))
    monkeypatch.setenv("VOICE_WORKERS", "1")
    with voice_program(programs / "voice"):
        yield tmp_path


def run(block: Block, folder: Path) -> str:
    """Run a block as a reader would; what it prints on standard output."""
    program = ["bash", "-euo", "pipefail", "-c", block.code] if block.language == "sh" else ["python", "-c", block.code]
    done = subprocess.run(program, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{block.code}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def test_the_tutorial_from_recordings_to_load_dataset(project: Path) -> None:
    make, configure, build, look, correct, load = blocks(DOCS / "tutorial" / "own-recordings.md", "sh", "python")
    run(make, project)
    assert "≈ 5" in run(configure, project)
    assert "2 recordings decoded, 5 segments cut, 5 encoded" in run(build, project)
    assert "The boats came in before the storm." in run(look, project)
    assert (project / "listen.html").is_file()
    corrected = run(correct, project)
    assert "1 recording decoded, 1 segment cut, 1 encoded" in corrected
    assert "0 recordings decoded" in corrected
    assert "Three boats need new sails." in run(load, project)
    places = documented_places(1)
    assert [key for key in files_below(project / "work") if not places.fullmatch(key)] == []
    assert tomllib.loads((project / "voice.toml").read_text("utf-8"))["dataset"] == "evening-talks"


def test_the_moshi_how_to_from_dialogues_to_lists(project: Path) -> None:
    page = DOCS / "how-to" / "moshi.md"
    (project / "dialogues.jsonl").write_text(blocks(page, "json")[0].code, "utf-8")
    lines = [line for line in blocks(page, "sh")[0].code.splitlines() if not line.startswith("pip ")]
    run(Block("sh", "\n".join(lines)), project)
    made = files_below(project / "out")
    assert {"moshi/talks/talks.jsonl", "moshi/talks/batch-0001/d1.wav", "moshi/talks/batch-0001/d2.json"} <= made.keys()
    places = documented_places(1)
    assert [key for key in made if not places.fullmatch(key)] == []
    assert (project / "listen.html").is_file()
