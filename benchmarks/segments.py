"""Stage 1: recordings in four formats → committed segments.

Ours (decode, snap to quiet, measure, rules, .npz, hashes, manifest; a process a core) beside the seed's way
(librosa.load to 24 kHz, slices by the transcript, savez_compressed of float32; one file after another; a part
of the recordings, taken by audio second) and beside the limit: PyAV decoding and resampling with our options and
nothing else, over the same pool. Each format is a partition of its own. The workers are warm, but for the line "cold".

Prediction: ours runs at 900 × real time on two cores and at least 15 times the seed's way (which writes as
slowly as it decodes, on one core); it takes 1.3 times as long as the limit, since cutting, measuring and writing
a five-second segment cost about 1.5 ms beside 6 ms of decoding; utilisation is above 85 %.
"""

import contextlib
import shutil
import tempfile
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import av
import librosa
import numpy as np
from av.audio.resampler import AudioResampler
from loky import get_reusable_executor

from benchmarks.common import (
    Goal,
    Options,
    Report,
    Sample,
    interleaved,
    median_sec,
    raw_runs,
    timed,
    utilisation,
    warm_workers,
)
from benchmarks.material import FORMATS, Bucket, discovered, lines, record, settings_for, stores
from voice_core import audio
from voice_core.corpus.segmenting import build_segments
from voice_core.layout import PartitionKey
from voice_core.workers import unordered

RATE_HZ = 24_000


def measure(options: Options) -> Report:
    recordings, minutes = (2, 1.0) if options.quick else (6, 5.0)
    with tempfile.TemporaryDirectory(prefix="voice-bench-") as folder:
        bucket = record(Path(folder, "raw"), FORMATS, recordings, minutes)
        return _measure(bucket, Path(folder), options)


def _measure(bucket: Bucket, folder: Path, options: Options) -> Report:
    seconds = {channel: bucket.duration_sec(channel) for channel in bucket.recordings}
    first = next(iter(seconds))
    get_reusable_executor().shutdown(wait=True)
    cold = timed(partial(_ours, bucket, folder, first))
    _seed(bucket.recordings["flac"][0], folder / "warm-up")  # librosa imports and compiles at its first call

    cases: dict[str, Callable[[], object]] = {}
    unreadable: set[str] = set()
    for channel, paths in bucket.recordings.items():
        cases[f"limit {channel}"] = partial(_limit, paths)
        cases[f"ours {channel}"] = partial(_ours, bucket, folder, channel)
        try:
            audio_read(paths[0])
        except Exception:  # noqa: BLE001 - librosa raises whatever its backends do
            unreadable.add(channel)
        else:
            cases[f"seed {channel}"] = partial(_seed, paths[0], folder / "seed")
    with _tidy(folder):
        samples = interleaved(cases, options.runs, before=warm_workers)
    return _report(bucket, seconds, samples, unreadable, (first, cold))


def _ours(bucket: Bucket, folder: Path, channel: str) -> None:
    """Cut one channel into a new work folder."""
    raise NotImplementedError
