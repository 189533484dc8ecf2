"""Corpora and Dagster homes of their own for tests."""

import json
import shutil
from pathlib import Path

from voice_core.demo.sample_data import DEMO_CHANNEL_MAPPING
from voice_core.storage.store import Store

PROJECT = Path(__file__).parents[1]
DAGSTER_YAML = PROJECT / "dagster_home" / "dagster.yaml"


def create_dagster_home(folder: Path) -> Path:
    """A new DAGSTER_HOME with the project's configuration."""
    folder.mkdir(parents=True)
    shutil.copy(DAGSTER_YAML, folder)
    return folder


def corpus_variables(raw: Path | str, work: Path | str, home: Path) -> dict[str, str]:
    """The variables of a corpus of the demo's recordings with a Dagster home of its own."""
    return {
        "DAGSTER_HOME": str(home),
        "VOICE_RAW_URL": str(raw),
        "VOICE_WORK_URL": str(work),
        "VOICE_CHANNEL_MAPPING": json.dumps(DEMO_CHANNEL_MAPPING),
    }


def copy_built_corpus(source: Path, target: Path) -> None:
    """Copy `raw`, `work` and `dagster_home` of a finished corpus, so that the copy is finished, too.

    A copied file has another identity on disk; batch files name the raw files by it, so theirs are rewritten.
    """
    for name in ("raw", "work", "dagster_home"):
        shutil.copytree(source / name, target / name, copy_function=shutil.copy2)
    old = {item.key: item.etag for item in Store((source / "raw").as_uri()).listing()}
    new = {item.key: item.etag for item in Store((target / "raw").as_uri()).listing()}
    for path in (target / "work" / "batches").rglob("*.json"):
        text = path.read_text("utf-8")
        for key, etag in old.items():
            text = text.replace(etag, new[key])
        path.write_text(text, "utf-8")
