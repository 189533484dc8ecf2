"""Every asset of a fresh instance, materialised in the order of the graph, as "Materialize all" does.

In this process; `make soak` lets a daemon do it.
"""

import shutil
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from resources.corpus import open_work
from resources.stores import open_store
from voice_assets.definitions import build_definitions
from voice_assets.defs.audiobook.partitions import BOOK
from voice_assets.defs.moshi.partitions import DIALOGUE_BATCH
from voice_assets.defs.voice_dataset.partitions import CHANNEL_BATCH
from voice_assets.run_queries import RANGE_END, RANGE_START
from voice_assets_tests.core.corpus.small_corpus import Corpus
from voice_assets_tests.dagster_home import DAGSTER_YAML, variables_without_codec
from voice_core.demo.dialogues import write_dialogues
from voice_core.moshi.build import assign_scripts
from voice_core.settings import Settings


@pytest.fixture
def instance(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dg.DagsterInstance]:
    """An instance that has the partitions of two recordings, three dialogues and a book, and no runs yet."""
    corpus = Corpus(tmp_path)
    for name in "ab":
        corpus.add_recording(name, 4.0)
    variables = {
        **variables_without_codec(corpus),
        "SPEECH__ENGINE": "noise",
        "MOSHI__ALIGNER": "approximate",
        "MOSHI__RECOGNISER": "none",
        "MOSHI__SCRIPTS_URL": str(write_dialogues(tmp_path / "dialogues").parent),
        "AUDIOBOOK__BOOKS_URL": str(tmp_path / "books"),
        "AUDIOBOOK__FORMATS": '["m4b"]',
    }
    for name, value in variables.items():
        monkeypatch.setenv(f"VOICE_{name}", value)
    (tmp_path / "books").mkdir()
    (tmp_path / "books" / "boat.txt").write_text("The boat left.")
    (tmp_path / "home").mkdir()
    shutil.copy(DAGSTER_YAML, tmp_path / "home")
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "home"))
    corpus.set(batch={"max_recordings": 1}, codec="none")
    settings = Settings.load()
    batches = [str(batch.partition) for batch in corpus.discover().batches]
    scripts = open_store(settings.moshi.scripts_url, settings)
    dialogues = [str(key) for key in assign_scripts(scripts, open_work(settings), settings).partitions]
    with dg.DagsterInstance.from_config(str(tmp_path / "home")) as opened:
        opened.add_dynamic_partitions(CHANNEL_BATCH, batches)
        opened.add_dynamic_partitions(DIALOGUE_BATCH, dialogues)
        opened.add_dynamic_partitions(BOOK, ["boat"])
        yield opened


def materialize_all(instance: dg.DagsterInstance) -> list[str]:
    """The assets, in the order in which they were materialised. Each step runs over all its partitions."""
    defs = build_definitions(Settings.load())
    graph = defs.resolve_asset_graph()
    job = defs.resolve_implicit_global_asset_job_def()
    done: list[str] = []
    for level in graph.toposorted_asset_keys_by_level:
        for key in sorted(level & graph.materializable_asset_keys):
            partitions = graph.get(key).partitions_def
            keys = partitions.get_partition_keys(dynamic_partitions_store=instance) if partitions else []
            tags = {RANGE_START: keys[0], RANGE_END: keys[-1]} if len(keys) > 1 else {}
            result = job.execute_in_process(
                instance=instance,
                asset_selection=[key],
                partition_key=keys[0] if len(keys) == 1 else None,
                tags=tags,
            )
            assert result.success, key
            done.append(key.to_user_string())
    return done


def test_all_assets_are_materialised_in_the_order_of_the_graph_the_first_and_the_second_time(
    instance: dg.DagsterInstance,
) -> None:
    first = materialize_all(instance)
    assert "published_dataset" not in first
    assert {"dataset_card", "moshi_dataset", "audiobook"} <= set(first)
    assert materialize_all(instance) == first
    assert not instance.get_runs(dg.RunsFilter(statuses=[dg.DagsterRunStatus.FAILURE]))
