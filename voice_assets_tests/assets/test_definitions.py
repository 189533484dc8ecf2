"""The code location as Dagster sees it, and imports that are kept apart."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from voice_assets.code_location import encoding_pool
from voice_assets.definitions import build_definitions, defs
from voice_core.corpus.dataset.schemas import full_schema, pairs_schema
from voice_core.settings import AutomationSettings, ConfigurationError, NeuCodecSettings, Settings

ROOT = Path(__file__).parents[2]


def _fresh(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_the_code_location_loads_in_a_fresh_interpreter_without_torch() -> None:
    assert _fresh("import sys, voice_assets.definitions as d; print('torch' in sys.modules)") == "False"


IMPORT_ALL = """
import importlib, pkgutil, sys, voice_core
import voice_assets_tests.torchaudio_without_cuda
for module in pkgutil.walk_packages(voice_core.__path__, "voice_core."):
    if not module.name.startswith({without!r}):
        importlib.import_module(module.name)
print(sorted({{name.split(".")[0] for name in sys.modules}} & {others!r}))
"""


def test_the_library_does_not_import_dagster() -> None:
    others = {"dagster", "fastapi", "voice_assets", "resources"}
    assert _fresh(IMPORT_ALL.format(without="none", others=others)) == "[]"


def test_only_what_runs_neucodec_needs_torch() -> None:
    assert _fresh(IMPORT_ALL.format(without="voice_core.codecs.neucodec.", others={"torch"})) == "[]"


def test_help_does_not_load_dagster() -> None:
    assert _fresh("import sys, voice_assets.cli; print('dagster' in sys.modules)") == "False"


def test_every_asset_has_a_code_version_a_description_and_kinds() -> None:
    for spec in defs.resolve_all_asset_specs():
        assert spec.code_version, spec.key
        assert spec.description, spec.key
        assert spec.kinds, spec.key


def test_every_check_job_sensor_and_schedule_has_a_description() -> None:
    repository = build_definitions(Settings()).get_repository_def()
    jobs = [repository.get_job(name) for name in repository.job_names if not name.startswith("__")]
    checks = [spec for definition in defs.assets or () for spec in definition.check_specs]  # type: ignore[union-attr]
    for item in (*jobs, *repository.sensor_defs, *repository.schedule_defs, *checks):
        assert item.description, item.name


def test_the_columns_of_the_rows_are_on_their_assets() -> None:
    specs = {spec.key.to_user_string(): spec for spec in build_definitions(Settings()).resolve_all_asset_specs()}
    for asset, schema in (
        ("voice_dataset", full_schema(24_000, with_codes=True)),
        ("voice_pairs", pairs_schema(with_codes=True)),
    ):
        columns = specs[asset].metadata["dagster/column_schema"].columns
        assert [column.name for column in columns] == schema.names
        assert all(column.description for column in columns)
    without = build_definitions(Settings(codec="none")).resolve_all_asset_specs()
    (spec,) = [spec for spec in without if spec.key == dg.AssetKey("voice_dataset")]
    assert "codes" not in {column.name for column in spec.metadata["dagster/column_schema"].columns}


def test_the_owners_of_the_settings_own_every_asset() -> None:
    owners = ["team:voice", "someone@example.com"]
    made = build_definitions(Settings(automation=AutomationSettings(owners=owners)))  # type: ignore[call-arg]
    assert all(list(spec.owners) == owners for spec in made.resolve_all_asset_specs())
    assert not any(spec.owners for spec in defs.resolve_all_asset_specs())
    with pytest.raises(ValueError, match="owners"):
        AutomationSettings(owners=["voice"])  # type: ignore[call-arg]


def test_earlier_names_of_jobs_can_still_be_launched() -> None:
    assert {"deal_splits", "bring_up_to_date"} <= set(build_definitions(Settings()).get_repository_def().job_names)


@pytest.mark.parametrize("asset", ["segments", "coded_segments", "voice_dataset", "dataset_card"])
def test_what_is_made_is_checked_before_anything_is_built_on_it(asset: str) -> None:
    checks = [spec for definition in defs.assets or () for spec in definition.check_specs if spec.blocking]
    assert "files_intact" in {spec.name for spec in checks if spec.asset_key == dg.AssetKey(asset)}


_DESCRIBE = """
import json, sys, importlib, dagster as dg
defs = importlib.import_module("voice_assets.locations." + sys.argv[1]).defs
graph = defs.resolve_asset_graph()
print(json.dumps({
    "builds": sorted(key.to_user_string() for key in graph.materializable_asset_keys),
    "knows": sorted(key.to_user_string() for key in graph.external_asset_keys),
    "pools": {item.op.name: item.op.pool for item in defs.assets if isinstance(item, dg.AssetsDefinition)},
    "neucodec": defs.resources["corpus"].settings.neucodec.model_dump(),
    "codec": defs.resources["corpus"].settings.codec,
    "torch": "torch" in sys.modules,
}))
"""


def _location(name: str, **variables: str) -> dict[str, Any]:
    command = [sys.executable, "-c", _DESCRIBE, name]
    environment = {**os.environ, **variables}
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT, env=environment)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_the_machines_build_everything_between_them_and_nothing_twice() -> None:
    t4, h200 = _location("t4"), _location("h200")
    assert not set(t4["builds"]) & set(h200["builds"])
    everything = {spec.key.to_user_string() for spec in defs.resolve_all_asset_specs()}
    assert set(t4["builds"]) | set(h200["builds"]) == everything
    assert h200["knows"] == ["segments"]
    assert set(h200["knows"]) <= set(t4["builds"])
    assert h200["pools"]["encode"] == "gpu_h200"
    for machine, pool in ((t4, "gpu_t4"), (h200, "gpu_h200")):
        assert (machine["neucodec"]["pool"], machine["neucodec"]["device"]) == (pool, "cuda")
        assert (machine["codec"], machine["torch"]) == ("neucodec", False)


def test_the_steps_can_be_assigned_to_other_locations() -> None:
    encodes = _location("t4", VOICE_STEPS='["ingest", "encode"]', VOICE_NEUCODEC__BATCH_SEC="90")
    assert encodes["builds"] == ["coded_segments", "raw_audio", "segments"]
    assert encodes["pools"] == {"ingest": None, "encode": "gpu_t4"}
    assert encodes["neucodec"]["batch_sec"] == 90
    assert _location("h200", VOICE_STEPS='["write"]')["knows"] == ["coded_segments", "segments"]


def test_the_encoding_step_is_in_a_pool_only_where_its_codec_needs_a_gpu() -> None:
    on_a_gpu = NeuCodecSettings(pool="gpu_t4")  # type: ignore[call-arg]
    assert encoding_pool(Settings(codec="neucodec", neucodec=on_a_gpu)) == "gpu_t4"
    assert encoding_pool(Settings(codec="melvq", neucodec=on_a_gpu)) is None
    assert encoding_pool(Settings(codec="neucodec")) is None


@pytest.mark.parametrize(("pool", "precision", "told"), [("gpu_a100", "", "known pools"), ("gpu_t4", "bf16", "Turing")])
def test_an_unknown_pool_or_precision_is_refused_when_the_definitions_are_loaded(
    pool: str, precision: str, told: str
) -> None:
    wrong = NeuCodecSettings(pool=pool, precision=precision)  # type: ignore[call-arg, arg-type]
    with pytest.raises(ConfigurationError, match=told):
        build_definitions(Settings(codec="neucodec", neucodec=wrong))
