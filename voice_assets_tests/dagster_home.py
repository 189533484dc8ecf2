"""Corpora and Dagster homes of their own for tests."""

import atexit
import functools
import json
import shutil
import tempfile
from pathlib import Path

import dagster
from alembic.script import ScriptDirectory

from voice_assets_tests.core.corpus.small_corpus import Corpus
from voice_core.demo.sample_data import DEMO_CHANNEL_MAPPING
from voice_core.storage.store import Store

PROJECT = Path(__file__).parents[1]
DAGSTER_YAML = PROJECT / "dagster_home" / "dagster.yaml"


def read_migrations_once() -> None:
    """Read Dagster's migration scripts once in this process, not for the database of each run. They never change."""
    ScriptDirectory.from_config = functools.cache(ScriptDirectory.from_config)  # type: ignore[method-assign]


def create_dagster_home(folder: Path, *, with_databases: bool = False) -> Path:
    """A new DAGSTER_HOME with the project's configuration.

    Dagster creates its databases at first use, which takes longer than most tests; `with_databases` copies new ones.
    """
    if with_databases:
        shutil.copytree(_home_with_databases(), folder)
    else:
        folder.mkdir(parents=True)
        shutil.copy(DAGSTER_YAML, folder)
    return folder


@functools.cache
def _home_with_databases() -> Path:
    """Made once for this process, which removes it when it ends."""
    folder = tempfile.TemporaryDirectory(prefix="voice-dagster-home-")
    atexit.register(folder.cleanup)
    home = create_dagster_home(Path(folder.name) / "home")
    dagster.DagsterInstance.from_config(str(home)).dispose()
    return home


def corpus_variables(raw: Path | str, work: Path | str, home: Path) -> dict[str, str]:
    """The variables of a corpus of the demo's recordings with a Dagster home of its own."""
    return {
        "DAGSTER_HOME": str(home),
        "VOICE_RAW_URL": str(raw),
        "VOICE_WORK_URL": str(work),
        "VOICE_CHANNEL_MAPPING": json.dumps(DEMO_CHANNEL_MAPPING),
    }


def variables_without_codec(corpus: Corpus) -> dict[str, str]:
    """The variables, without VOICE_, of a small corpus with one recording a batch and no codec."""
    return {
        "RAW_URL": corpus.settings.raw_url,
        "WORK_URL": corpus.settings.work_url,
        "CODEC": "none",
        "WORKERS": "1",
        "BATCH__MAX_RECORDINGS": "1",
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
