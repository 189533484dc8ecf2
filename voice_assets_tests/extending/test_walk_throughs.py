"""docs/extending.md, executed: each section applied to a copy of the source, and its checks run there."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from voice_assets_tests.core.corpus.small_corpus import RATE, make_lines, synthesize_recording, write_audio
from voice_assets_tests.extending.walk_through import (
    DOCUMENT,
    WalkThrough,
    apply_edits,
    install_package,
    read_walk_throughs,
)

ROOT = DOCUMENT.parents[1]
WALK_THROUGHS = read_walk_throughs(DOCUMENT.read_text("utf-8"))
VOICE_COMMAND = 'set -e -o pipefail\nvoice() { "$PYTHON" -c "from voice_assets.cli import main; main()" "$@"; }\n'


def copy_source(folder: Path) -> Path:
    for package in ("voice_core", "voice_assets", "resources"):
        shutil.copytree(ROOT / package, folder / package, ignore=shutil.ignore_patterns("__pycache__"))
    return folder


def run_checks(walk_through: WalkThrough, folder: Path, path: list[Path]) -> None:
    variables = {name: value for name, value in os.environ.items() if not name.startswith("VOICE_")}
    variables |= {
        "PYTHON": sys.executable,
        "PYTHONPATH": os.pathsep.join(map(str, path)),
        "DAGSTER_HOME": str(folder / "dagster_home"),
        "VOICE_RAW_URL": "raw",
        "VOICE_WORK_URL": "work",
        "COLUMNS": "200",
    }
    for check in walk_through.checks:
        command = (
            ["bash", "-c", VOICE_COMMAND + check.code] if check.language == "sh" else [sys.executable, "-c", check.code]
        )
        done = subprocess.run(command, cwd=folder, env=variables, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{check.code}\n{done.stdout}\n{done.stderr}"


@pytest.mark.parametrize("title", WALK_THROUGHS)
def test_the_code_of_a_section_does_what_the_section_says(title: str, tmp_path: Path) -> None:
    walk_through = WALK_THROUGHS[title]
    source, folder = copy_source(tmp_path / "source"), tmp_path / "project"
    (folder / "dagster_home").mkdir(parents=True)
    shutil.copy(ROOT / "dagster_home" / "dagster.yaml", folder / "dagster_home")
    write_audio(folder / "raw/news/talk.wav", synthesize_recording(6.0, make_lines(6.0, "talk")), RATE)
    for block in WALK_THROUGHS["A label"].edits:  # its transcript is also that of other sections
        if title != "A label" and block.language == "json":
            (folder / block.options["file"]).write_text(block.code, "utf-8")
    apply_edits(walk_through, source, folder)
    packages = [file.parent for file in folder.glob("*/pyproject.toml")]
    for package in packages:
        install_package(package)
    run_checks(walk_through, folder, [source, *packages])


def test_every_section_is_run_and_the_table_names_the_files_it_changes() -> None:
    text = DOCUMENT.read_text("utf-8")
    table = dict(re.findall(r"^\| \[([^\]]+)\]\([^)]*\) \| ([^|]*) \|", text, re.MULTILINE))
    assert {title.lower() for title in WALK_THROUGHS} == table.keys()
    for title, walk_through in WALK_THROUGHS.items():
        assert walk_through.checks, title
        named = re.findall(r"`([^`]+)`", table[title.lower()])
        added = [block.options["file"] for block in walk_through.edits if "file" in block.options]
        if title == "A speech engine":  # it comes from another package: nothing in this project changes
            assert walk_through.files == []
        else:
            assert sorted({*named, *(name for name in added if name.startswith("voice_core/"))}) == walk_through.files
