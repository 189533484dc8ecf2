"""What the documents say of a finished work root and of steps is what the program does."""

import re
from pathlib import Path
from typing import get_args

from voice_assets_tests.docs.layout import documented_places
from voice_assets_tests.docs.pages import DOCS, code_spans
from voice_assets_tests.files import files_below
from voice_core.corpus.ingest.transcript_types import BAD_LINE_REASONS
from voice_core.corpus.manifest import Manifest
from voice_core.corpus.segment.rules import RULES
from voice_core.settings import Settings, StepName


def test_every_reason_for_leaving_something_out_is_explained(built: Path) -> None:
    named = set(code_spans(DOCS / "reference" / "reject-reasons.md"))
    manifests = [
        Manifest.from_bytes(data)
        for key, data in files_below(built / "work").items()
        if key.endswith("_manifest.parquet") or ("/manifests/" in key and key.endswith(".parquet"))
    ]
    seen = {entry.reason for manifest in manifests for entry in manifest.entries if not entry.kept}
    assert len(seen) > 15
    assert seen | {rule.__name__ for rule in RULES} | set(BAD_LINE_REASONS) <= named


def test_every_file_of_the_work_root_is_where_the_document_says(built: Path) -> None:
    places = documented_places(1)
    assert [key for key in files_below(built / "work") if not places.fullmatch(key)] == []


def test_every_notebook_of_dagsters_storage_is_where_the_document_says(built: Path) -> None:
    places = documented_places(2)
    made = [key for key in files_below(built / "dagster_home" / "storage") if key.startswith("listen/")]
    assert made
    assert [key for key in made if not places.fullmatch(key)] == []


def test_every_step_is_explained_where_steps_are_assigned_to_machines() -> None:
    described = Settings.model_fields["steps"].description or ""
    machines = (DOCS / "how-to" / "gpus.md").read_text("utf-8").split("## Several machines")[1]
    for step in get_args(StepName):
        assert re.search(rf"\b{step}\b", described)
        assert f"`{step}`" in machines
