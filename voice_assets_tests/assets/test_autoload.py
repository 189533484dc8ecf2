"""Files in `voice_assets/defs` show up in the asset graph, in the way of `dg scaffold defs`."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LIST = (
    "from voice_assets.definitions import defs\n"
    "print(*(spec.key.to_user_string() for spec in defs.resolve_all_asset_specs()))"
)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A copy of the project's packages, to add files to."""
    for name in ("voice_assets", "voice_core", "resources"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def run(project: Path, *command: str) -> str:
    environment = {**os.environ, "PYTHONPATH": str(project)}
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=project, env=environment)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_a_file_that_is_dropped_into_defs_shows_up(project: Path) -> None:
    added = project / "voice_assets" / "defs" / "speakers" / "assets.py"
    added.parent.mkdir()
    added.write_text("import dagster as dg\n\n@dg.asset(deps=['segments'])\ndef speakers() -> None: ...\n")
    assert "speakers" in run(project, sys.executable, "-c", LIST).split()
    (project / "pyproject.toml").unlink()  # as in an installed package
    assert "speakers" in run(project, sys.executable, "-c", LIST).split()


def test_an_asset_that_dg_scaffolds_shows_up(project: Path) -> None:
    dg_command = str(Path(sys.executable).with_name("dg"))
    run(project, dg_command, "scaffold", "defs", "dagster.asset", "speakers/noisy_speakers.py")
    assert (project / "voice_assets" / "defs" / "speakers" / "noisy_speakers.py").is_file()
    assert "noisy_speakers" in run(project, sys.executable, "-c", LIST).split()
