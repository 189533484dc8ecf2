"""Automation: the time that Dagster's daemon takes in addition to the work itself.

A sensor's tick over 100,000 recordings in 1,000 batches of which none is new, on a local disk (listing, reading the
batch files, comparing, asking); loading `definitions` in a fresh interpreter; and a backfill of the whole chain over
300 batches of one recording of two seconds each, launched as the UI does and run by the daemon, against the same
functions called without Dagster.

Prediction: the tick takes 8 s, most of it listing 200,000 files and parsing 1,000 batch files; definitions load in
1.5 s, most of it importing Dagster; a batch of the backfill costs 1.0 s beyond its work, half of it pictures, checks
and events, the rest starting 30 runs of ten batches at 5 s each and the daemon's own intervals.
"""

import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import dagster as dg

from benchmarks.common import Options
from benchmarks.report import Goal, Report
from voice_assets.defs.voice_dataset.partitions import CHANNEL_BATCH
from voice_assets.defs.voice_dataset.sensors import request_runs
from voice_assets_tests.assets.daemon_fixture import run_dagster_dev
from voice_assets_tests.core.corpus.small_corpus import Corpus
from voice_core.audio.header import AudioInfo
from voice_core.corpus.ingest.batch_model import Recording, assign_to_batches
from voice_core.corpus.ingest.batches import write_batch
from voice_core.corpus.ingest.discovery import discover
from voice_core.corpus.ingest.recordings import list_raw_recordings
from voice_core.settings import Settings
from voice_core.storage.store import Store

ASSETS = ["raw_audio", "segments", "coded_segments", "dataset_splits", "voice_dataset", "voice_pairs", "dataset_card"]


def measure(options: Options) -> Report:
    recordings, batches = (5_000, 20) if options.quick else (100_000, 300)
    with tempfile.TemporaryDirectory(prefix="voice-bench-") as folder:
        tick = _tick(Path(folder), recordings)
        load_sec = _load_sec(options.runs)
        (Path(folder) / "backfill").mkdir()
        backfill = _backfill(Path(folder) / "backfill", batches)
    over_sec = (backfill["wall_sec"] - backfill["work_sec"]) / batches
    rows = [
        [f"tick over {recordings:,} recordings in {tick['batches']:,} batches", f"{tick['wall_sec']:.1f}"],
        ["  listing and pairing alone", f"{tick['listing_sec']:.1f}"],
        ["loading definitions", f"{load_sec:.2f}"],
        [f"backfill of {batches} batches", f"{backfill['wall_sec']:.1f}"],
        ["  the same work without Dagster", f"{backfill['work_sec']:.1f}"],
        [f"  inside its {backfill['runs']} runs' steps, summed", f"{backfill['steps_sec']:.1f}"],
        ["  its runs, from start to end, summed", f"{backfill['runs_sec']:.1f}"],
        ["  no run at work", f"{backfill['idle_sec']:.1f}"],
        ["overhead a batch", f"{over_sec:.2f}"],
    ]
    return Report(
        columns=["what", "seconds"],
        rows=rows,
        goals=[
            Goal("tick over 100,000 recordings", tick["wall_sec"], 20, at_least=False, unit=" s"),
            Goal("overhead of a batch in a backfill", over_sec, 2, at_least=False, unit=" s"),
        ],
        notes=[
            "steps: everything inside them, the work included; runs begin when their process is up, so that starting "
            "it counts as no run at work where nothing else runs",
        ],
        details={"tick": tick, "load_sec": load_sec, "backfill": backfill},
    )


def _tick(root: Path, count: int) -> dict[str, Any]:
    """One tick over `count` recordings that are all known and unchanged."""
    for channel in range(10):
        folder = root / "raw" / f"channel-{channel}"
        folder.mkdir(parents=True)
        for number in range(count // 10):
            (folder / f"recording-{number:06d}.mp3").write_bytes(b"x")
            (folder / f"recording-{number:06d}.json").write_bytes(b"{}")
    limits = {"max_recordings": 100, "max_hours": 1e6}
    settings = Settings(raw_url=str(root / "raw"), work_url=str(root / "work"), batch=limits)  # type: ignore[arg-type]
    raw, work = Store(settings.raw_url), Store(settings.work_url, create=True)
    started = time.perf_counter()
    listing = list_raw_recordings(raw, settings)
    listing_sec = time.perf_counter() - started
    info = AudioInfo("mp3", "mp3", 24_000, 1, 1_800.0)
    known = [
        Recording(f.channel, f.audio_id, f.audio.key, info, "", f.audio, f.transcript, "0" * 64)
        for f in listing.recordings.values()
    ]
    made = assign_to_batches([], known, settings)
    for batch in made:
        write_batch(work, batch)
    with dg.DagsterInstance.ephemeral() as instance:
        instance.add_dynamic_partitions(CHANNEL_BATCH, [str(batch.partition) for batch in made])
        context = dg.build_sensor_context(instance=instance)
        started = time.perf_counter()
        result = request_runs(context, discover(raw, work, settings, budget_sec=10), settings, time.time())
        wall_sec = time.perf_counter() - started
    assert not result.run_requests
    return {"wall_sec": wall_sec, "listing_sec": listing_sec, "batches": len(made)}


def _load_sec(runs: int) -> float:
    code = "import time; t = time.perf_counter(); import voice_assets.definitions; print(time.perf_counter() - t)"
    return min(
        float(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout)
        for _ in range(runs)
    )


def _create_corpus(folder: Path, batches: int) -> Corpus:
    folder.mkdir()
    corpus = Corpus(folder)
    corpus.set(batch={"max_recordings": 1}, codec="none")
    for number in range(batches):
        corpus.add_recording(f"r{number:04d}", 2.0)
    return corpus


def _backfill(root: Path, batches: int) -> dict[str, Any]:
    alone = _create_corpus(root / "alone", batches)
    started = time.perf_counter()
    alone.build()
    work_sec = time.perf_counter() - started
    corpus = _create_corpus(root / "dagster", batches)
    keys = [str(batch.partition) for batch in corpus.discover().batches]
    variables = {
        "RAW_URL": corpus.settings.raw_url,
        "WORK_URL": corpus.settings.work_url,
        "CODEC": "none",
        "WORKERS": "1",
        "BATCH__MAX_RECORDINGS": "1",
    }
    with run_dagster_dev(root, variables) as dagster_server, dagster_server.instance as instance:
        instance.add_dynamic_partitions(CHANNEL_BATCH, keys)
        started = time.perf_counter()
        backfill = dagster_server.backfill(ASSETS, keys)
        dagster_server.wait(
            "the backfill ends", lambda: dagster_server.backfill_status(backfill).startswith("COMPLETED"), 3_600
        )
        wall_sec = time.perf_counter() - started
        assert dagster_server.backfill_status(backfill) == "COMPLETED_SUCCESS", dagster_server.log.read_text("utf-8")[
            -4_000:
        ]
        return {"wall_sec": wall_sec, "work_sec": work_sec, **_runs(instance, backfill)}


def _runs(instance: dg.DagsterInstance, backfill: str) -> dict[str, Any]:
    """How long the runs of a backfill took, and for how long there was none."""
    records = instance.get_run_records(dg.RunsFilter(tags={"dagster/backfill": backfill}))
    spans = sorted((record.start_time or 0.0, record.end_time or 0.0) for record in records)
    idle, until = 0.0, min(record.create_timestamp.timestamp() for record in records)
    for start, end in spans:
        idle += max(0.0, start - until)
        until = max(until, end)
    steps = [stats for record in records for stats in instance.get_run_step_stats(record.dagster_run.run_id)]
    return {
        "runs": len(records),
        "runs_sec": sum(end - start for start, end in spans),
        "steps_sec": sum((step.end_time or 0.0) - (step.start_time or 0.0) for step in steps),
        "idle_sec": idle,
    }
