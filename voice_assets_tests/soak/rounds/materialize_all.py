"""The button "Materialize all" on a fresh Dagster home, again and again: backfills succeed, with the same bytes."""

import time
from collections.abc import Callable
from pathlib import Path

import dagster as dg

from voice_assets.definitions import build_definitions
from voice_assets.defs.voice_dataset.partitions import CHANNEL_BATCH
from voice_assets_tests.assets.daemon_fixture import DagsterServer, run_dagster_dev
from voice_assets_tests.core.corpus.small_corpus import Corpus
from voice_assets_tests.dagster_home import variables_without_codec
from voice_assets_tests.files import files_below
from voice_assets_tests.soak.soak_result import SoakResult
from voice_core.settings import Settings

NAME = '"Materialize all" in the UI'
ROUNDS = 5
_WITHOUT_PARTITIONS = {"dialogues", "moshi_shards"}  # there are no dialogues, so Dagster has no run for them


def run(folder: Path, rounds: int, progress: Callable[[str], None]) -> list[SoakResult]:
    (folder / "corpus").mkdir()
    corpus = Corpus(folder / "corpus")
    for name in "ab":
        corpus.add_recording(name, 4.0)
    corpus.set(batch={"max_recordings": 1}, codec="none")
    partitions = [str(batch.partition) for batch in corpus.discover().batches]
    started = time.monotonic()
    wrong = 0
    wanted: dict[str, bytes] = {}
    with run_dagster_dev(folder, variables_without_codec(corpus)) as server, server.instance as instance:
        instance.add_dynamic_partitions(CHANNEL_BATCH, partitions)
        for number in range(rounds):
            faults = run_backfill(server, instance)
            files = files_below(corpus.work_dir)
            wanted = wanted or files
            faults += [f"{key} differs" for key in sorted(wanted.keys() | files) if wanted.get(key) != files.get(key)]
            wrong += bool(faults)
            progress(f"{number + 1:3d}  " + ("; ".join(faults)[-600:] or "all runs succeeded, the same bytes"))
    return [SoakResult(NAME, rounds, rounds, wrong, time.monotonic() - started)]


def run_backfill(server: DagsterServer, instance: dg.DagsterInstance) -> list[str]:
    """Launch a backfill of all assets over all partitions; everything that went wrong."""
    graph = build_definitions(Settings()).resolve_asset_graph()
    everything = sorted(key.to_user_string() for key in graph.materializable_asset_keys)
    backfill = server.backfill(everything)
    server.wait("the backfill ends", lambda: server.backfill_status(backfill).startswith("COMPLETED"))
    status = server.backfill_status(backfill)
    faults = [] if status == "COMPLETED_SUCCESS" else [f"the backfill is {status}"]
    runs = instance.get_runs(dg.RunsFilter(tags={"dagster/backfill": backfill}))
    built = {key.to_user_string() for run in runs for key in run.asset_selection or ()}
    missing = set(everything) - _WITHOUT_PARTITIONS - built
    return faults + ([f"no run for {', '.join(sorted(missing))}"] if missing else [])
