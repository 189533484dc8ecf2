"""Rows: segments of five seconds → the dataset's Parquet files.

Ours (`build_dataset`: read and check each .npz, encode FLAC, columns with all measures, configs "full" and
"neutts", manifest) against the usual way (`Dataset.from_generator` over its own compressed float32 .npz, the
audio as a list of floats, then `save_to_disk`), on fewer rows since it is slow; compared by rows a second.

Prediction: ours writes 550 rows/s on two cores, bound by FLAC (820 segments/s a core) and by hashing and
unpacking; the usual way 35 rows/s, bound by turning 120,000 floats a row into Python objects and back; 15 times.
"""

import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import datasets
import numpy as np

from benchmarks.common import (
    Options,
    Prepare,
    describe_disturbance,
    median_sec,
    run_interleaved,
    runs_as_dicts,
    utilisation,
)
from benchmarks.report import Goal, Report
from benchmarks.speech_corpus import benchmark_settings, discover_partitions, open_stores, read_lines, write_recordings
from voice_core.audio.pcm import to_float
from voice_core.codecs import load_codec
from voice_core.codecs.base import CodecUnavailableError
from voice_core.corpus.dataset.rows_stage import build_dataset, read_dataset_manifest, source_stage
from voice_core.corpus.dataset.splits import Splits
from voice_core.corpus.encode.encode_stage import build_codes
from voice_core.corpus.manifest import read_complete_manifest
from voice_core.corpus.segment.segment_files import SEGMENT_FIELDS, load_segment
from voice_core.corpus.segment.segment_stage import build_segments
from voice_core.demo.audio_encoder import AudioFormat
from voice_core.demo.transcripts import format_native_json
from voice_core.layout import PartitionKey
from voice_core.settings import Settings
from voice_core.storage.store import Store

SEGMENT_SEC = 5.0
_RECORDINGS = 4


def measure(options: Options) -> Report:
    wanted, seed_count = (240, 40) if options.quick else (2_400, 200)
    datasets.disable_progress_bars()
    with tempfile.TemporaryDirectory(prefix="voice-bench-") as folder:
        root = Path(folder)
        settings, partition = _segments(root, wanted)
        _, work = open_stores(settings)
        kept = read_complete_manifest(work, source_stage(settings), partition).kept()
        usual_files = _write_usual_files(work, [entry.key for entry in kept[:seed_count]], root / "cache")
        # One recording is held out, so that both splits are written; texts that recur do not matter here.
        splits = Splits(frozenset({(partition.channel, kept[-1].audio_id)}), frozenset())
        cases: dict[str, Prepare] = {
            "ours": lambda: _prepare_ours(work, partition, splits, settings),
            "usual": partial(_prepare_usual, usual_files, root / "hf"),
        }
        samples = run_interleaved(cases, options.runs)
        written = read_dataset_manifest(work, partition, settings)
        usual_bytes = sum(path.stat().st_size for path in (root / "hf" / "saved").rglob("*.arrow"))
    assert written is not None
    files = written.parameters["files"]
    rows = {"ours": len(written.kept()), "usual": len(usual_files)}
    size = {"ours": sum(item["size_bytes"] for item in files), "usual": usual_bytes}
    speed = {name: count / median_sec(samples[name]) for name, count in rows.items()}
    table = [
        [name, f"{rows[name]:,}", f"{speed[name]:,.0f}", f"{size[name] / rows[name] / 1e3:,.0f}",
         f"{utilisation(samples[name]):.0%}"]
        for name in rows
    ]  # fmt: skip
    return Report(
        columns=["way", "rows", "rows/s", "kB a row", "busy"],
        rows=table,
        goals=[Goal("ours / usual", speed["ours"] / speed["usual"], 15, at_least=True, unit=" ×")],
        notes=[
            f"codec {settings.codec}; configs {', '.join(sorted({item['config'] for item in files}))}",
            describe_disturbance(samples),
        ],
        details={"rows_per_sec": speed, "runs": runs_as_dicts(samples)},
    )


def _prepare_ours(work: Store, partition: PartitionKey, splits: Splits, settings: Settings) -> Callable[[], object]:
    """Rows that are current would not be written again."""
    work.delete([item.key for item in work.listing("datasets")])
    return partial(build_dataset, work, partition, splits, settings)


def _segments(root: Path, count: int) -> tuple[Settings, PartitionKey]:
    """A partition with `count` segments of five seconds, coded where the embedded codec can be loaded."""
    minutes = count / _RECORDINGS * SEGMENT_SEC / 60
    bucket = write_recordings(root / "raw", [AudioFormat("flac", 24_000)], _RECORDINGS, minutes + 0.2)
    for paths in bucket.recordings.values():
        for path in paths:
            _write_equal_lines(path, count // _RECORDINGS)
    try:
        codec = load_codec("melvq")
    except (ImportError, CodecUnavailableError, OSError):
        codec = None
    settings = benchmark_settings(bucket.raw, root / "work", codec="melvq" if codec else "none", roundtrip_share=0.0)
    (partition,) = discover_partitions(settings)
    raw, work = open_stores(settings)
    build_segments(raw, work, partition, settings)
    if codec:
        build_codes(work, partition, codec, settings)
    return settings, partition


def _write_equal_lines(path: Path, count: int) -> None:
    """Replace the transcript of a recording by one line every five seconds."""
    texts = read_lines(path)
    ruled = [
        {**texts[number % len(texts)], "start": number * SEGMENT_SEC, "end": (number + 1) * SEGMENT_SEC}
        for number in range(count)
    ]
    path.with_suffix(".json").write_text(format_native_json(ruled), encoding="utf-8")


def _write_usual_files(work: Store, keys: Sequence[str], folder: Path) -> list[str]:
    """The same segments as the usual stage leaves them: compressed archives of float32."""
    folder.mkdir()
    paths = [str(folder / Path(key).name) for key in keys]
    for key, path in zip(keys, paths, strict=True):
        segment = load_segment(work.get(key), key)
        fields = {name: getattr(segment, name) for name in SEGMENT_FIELDS} | {"audio": to_float(segment.audio)}
        np.savez_compressed(path, **fields)
    return paths


def _prepare_usual(files: Sequence[str], folder: Path) -> Callable[[], object]:
    shutil.rmtree(folder, ignore_errors=True)

    def run() -> None:
        kwargs = {"files": list(files)}
        made = datasets.Dataset.from_generator(_seed_rows, gen_kwargs=kwargs, cache_dir=str(folder / "cache"))
        made.save_to_disk(str(folder / "saved"))

    return run


def _seed_rows(files: list[str]) -> Iterator[dict[str, Any]]:
    for path in files:
        with np.load(path) as arrays:
            yield {name: arrays[name].tolist() for name in arrays.files}
