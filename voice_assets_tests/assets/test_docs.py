"""What the documents say is what the program does."""

import re
from pathlib import Path
from typing import get_args

import pytest

from voice_assets_tests.files import files_below
from voice_core.corpus.ingest.transcript_types import BAD_LINE_REASONS
from voice_core.corpus.segment.rules import RULES
from voice_core.settings import ENV_PREFIX, Settings, SettingsGroup, StepName
from voice_core.stages.manifest import Manifest

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
DOCUMENT = (ROOT / "docs" / "voice-dataset.md").read_text("utf-8")


def test_every_reason_for_leaving_something_out_is_explained(built: Path) -> None:
    named = set(re.findall(r"`(\w+)`", DOCUMENT))
    manifests = [
        Manifest.from_bytes(data)
        for key, data in files_below(built / "work").items()
        if key.endswith("_manifest.parquet") or ("/manifests/" in key and key.endswith(".parquet"))
    ]
    seen = {entry.reason for manifest in manifests for entry in manifest.entries if not entry.kept}
    assert len(seen) > 15
    assert seen | {rule.__name__ for rule in RULES} | set(BAD_LINE_REASONS) <= named


def test_every_file_of_the_work_root_lies_where_the_document_says(built: Path) -> None:
    places = (
        r"batches/[^/]+/batch-\d{4}(\.contents)?\.json",
        r"(segments|coded)/[^/]+/batch-\d{4}/(_manifest\.parquet|[^/]+_seg_\d+\.npz)",
        r"datasets/voice/(data|neutts|pairs)/[^/]+/batch-\d{4}\.(train|test)\.parquet",
        r"datasets/voice/manifests/[^/]+/batch-\d{4}\.(parquet|pairs\.json)",
        r"datasets/voice/(README\.md|splits\.json|dataset\.json|figures/\w+\.png)",
    )
    assert [key for key in files_below(built / "work") if not re.fullmatch("|".join(places), key)] == []


def test_every_step_is_told_where_steps_are_dealt_out() -> None:
    told = Settings.model_fields["steps"].description or ""
    machines = (ROOT / "docs" / "gpus.md").read_text("utf-8").split("## Several machines")[1]
    for step in get_args(StepName):
        assert re.search(rf"\b{step}\b", told)
        assert f"`{step}`" in machines


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_every_variable_that_a_page_names_is_a_setting(page: Path) -> None:
    known = {f"{ENV_PREFIX}CONFIG"}
    for name, field in Settings.model_fields.items():
        known.add(f"{ENV_PREFIX}{name}".upper())
        if isinstance(field.annotation, type) and issubclass(field.annotation, SettingsGroup):
            known |= {f"{ENV_PREFIX}{name}__{inner}".upper() for inner in ("", *field.annotation.model_fields)}
    named = set(re.findall(rf"\b{ENV_PREFIX}[A-Z0-9_]+", page.read_text("utf-8")))
    assert sorted(named - known) == []
