"""The code location as Dagster sees it, and what the house keeps apart."""

import subprocess
import sys
from pathlib import Path

import dagster as dg
import pytest

from voice_assets.definitions import defs

ROOT = Path(__file__).parents[2]


def _fresh(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_the_code_location_loads_in_a_fresh_interpreter_without_torch() -> None:
    assert _fresh("import sys, voice_assets.definitions as d; print('torch' in sys.modules)") == "False"


def test_the_library_knows_nothing_of_dagster() -> None:
    code = """
import importlib, pkgutil, sys, voice_core
for module in pkgutil.walk_packages(voice_core.__path__, "voice_core."):
    importlib.import_module(module.name)
others = {"dagster", "fastapi", "voice_assets", "resources", "torch"}
print(sorted({name.split(".")[0] for name in sys.modules} & others))
"""
    assert _fresh(code) == "[]"


def test_help_does_not_load_dagster() -> None:
    assert _fresh("import sys, voice_assets.cli; print('dagster' in sys.modules)") == "False"


def test_every_asset_has_a_code_version_and_a_description() -> None:
    for spec in defs.resolve_all_asset_specs():
        assert spec.code_version, spec.key
        assert spec.description, spec.key


@pytest.mark.parametrize("asset", ["segments", "coded_segments", "voice_dataset", "dataset_card"])
def test_what_is_made_is_checked_before_anything_is_built_on_it(asset: str) -> None:
    checks = [spec for definition in defs.assets or () for spec in definition.check_specs if spec.blocking]
    assert "files_intact" in {spec.name for spec in checks if spec.asset_key == dg.AssetKey(asset)}
