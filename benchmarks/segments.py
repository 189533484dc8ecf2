"""Stage 1: recordings in four formats → committed segments.

Ours (decode, snap to quiet, measure, rules, .npz, hashes, manifest; a process a core) against the usual way
(librosa.load at 24 kHz, slices by the transcript, savez_compressed of float32; one file after another; on one
recording of each format, compared by audio second) and against the limit: PyAV decoding and resampling with our
options and nothing else, over the same pool. Each format is a partition. The workers are warm, but for "cold".

Prediction: ours runs at 900 × real time on two cores and 15 times as fast as the usual way, which writes about
as slowly as it decodes and on one core; it takes 1.3 times as long as the limit, since cutting, measuring and
writing a segment of five seconds cost about 1.5 ms beside 6 ms of decoding; above 85 % of both cores are busy.
"""

import shutil
import tempfile
import warnings
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path

import av
import librosa
import numpy as np
from av.audio.resampler import AudioResampler
from loky import get_reusable_executor

from benchmarks.common import (
    Options,
    Prepare,
    Sample,
    describe_disturbance,
    median_sec,
    run_interleaved,
    runs_as_dicts,
    time_call,
    utilisation,
    warm_workers,
)
from benchmarks.report import Goal, Report
from benchmarks.speech_corpus import (
    FORMATS,
    RawBucket,
    benchmark_settings,
    discover_partitions,
    open_stores,
    read_lines,
    write_recordings,
)
from voice_core.audio.pcm import RESAMPLER_OPTIONS
from voice_core.compute.workers import map_unordered
from voice_core.corpus.segment.segment_stage import build_segments

RATE_HZ = 24_000


def measure(options: Options) -> Report:
    recordings, minutes = (2, 1.0) if options.quick else (2, 30.0)
    with tempfile.TemporaryDirectory(prefix="voice-bench-") as folder:
        root = Path(folder)
        bucket = write_recordings(root / "raw", FORMATS, recordings, minutes)
        cold = _measure_cold_start(bucket, root / "work")
        cases, refused = _cases(bucket, root)
        _run_usual(bucket.recordings["flac"][0], root / "usual")  # librosa imports and compiles at its first call
        samples = run_interleaved(cases, options.runs)
        return _report(bucket, samples, refused, cold)


def _measure_cold_start(bucket: RawBucket, work: Path) -> tuple[str, float]:
    """The first format, with worker processes that start and import within the time."""
    get_reusable_executor().shutdown(wait=True)
    channel = next(iter(bucket.recordings))
    sample = time_call(_prepare_ours(bucket, channel, work)())
    return channel, bucket.duration_sec(channel) / sample.wall_sec


def _cases(bucket: RawBucket, root: Path) -> tuple[dict[str, Prepare], dict[str, str]]:
    """What to time, and the formats that the usual way cannot read, with librosa's message."""
    cases: dict[str, Prepare] = {}
    refused: dict[str, str] = {}
    for channel, paths in bucket.recordings.items():
        cases[f"limit {channel}"] = partial(_prepare_limit, paths)
        cases[f"ours {channel}"] = _prepare_ours(bucket, channel, root / "work")
        try:
            _load(paths[0], duration=1.0)
        except Exception as error:  # noqa: BLE001 - librosa lets through whatever its backends raise
            refused[channel] = str(error) or type(error).__name__
        else:
            cases[f"usual {channel}"] = partial(lambda path: partial(_run_usual, path, root / "usual"), paths[0])
    return cases, refused


def _prepare_ours(bucket: RawBucket, channel: str, work: Path) -> Prepare:
    """Ours: discovery is done beforehand, into a new work folder."""

    def prepare() -> Callable[[], object]:
        shutil.rmtree(work, ignore_errors=True)
        settings = benchmark_settings(bucket.raw, work, channels=(channel,))
        (partition,) = discover_partitions(settings)
        warm_workers()
        return partial(build_segments, *open_stores(settings), partition, settings)

    return prepare


def _prepare_limit(paths: Iterable[Path]) -> Callable[[], object]:
    warm_workers()
    return lambda: sum(count for _, count in map_unordered(_decode, paths))


def _decode(path: Path) -> int:
    """Samples of a recording, decoded and resampled a second at a time as `voice_core.audio.decoding.decode` does."""
    count = 0
    with av.open(str(path)) as container:
        resampler = AudioResampler("s16", "mono", RATE_HZ, RATE_HZ, options=RESAMPLER_OPTIONS)
        for frame in container.decode(audio=0):
            frame.pts = None
            count += sum(piece.to_ndarray().shape[1] for piece in resampler.resample(frame))
        count += sum(piece.to_ndarray().shape[1] for piece in resampler.resample(None))
    return count


def _run_usual(path: Path, folder: Path) -> None:
    samples = _load(path)
    folder.mkdir(exist_ok=True)
    for number, line in enumerate(read_lines(path)):
        piece = samples[int(line["start"] * RATE_HZ) : int(line["end"] * RATE_HZ)]
        labels = {name: line[name] for name in ("text", "speaker_id", "gender", "dialect", "tone")}
        target = folder / f"{path.stem}_seg_{number}.npz"
        np.savez_compressed(
            target, audio=piece, codes=[], duration_sec=len(piece) / RATE_HZ, audio_id=path.stem, **labels
        )


def _load(path: Path, duration: float | None = None) -> np.ndarray:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # librosa's about its fallback, once a file
        return librosa.load(path, sr=RATE_HZ, duration=duration)[0]


def _report(
    bucket: RawBucket, samples: dict[str, list[Sample]], refused: dict[str, str], cold: tuple[str, float]
) -> Report:
    channels = list(bucket.recordings)
    seconds = {channel: bucket.duration_sec(channel) for channel in channels}
    ours = {channel: median_sec(samples[f"ours {channel}"]) for channel in channels}
    limit = {channel: median_sec(samples[f"limit {channel}"]) for channel in channels}
    # Scaled from one recording to the whole channel.
    usual = {
        channel: median_sec(samples[f"usual {channel}"]) * seconds[channel] / _first_sec(bucket, channel)
        for channel in channels
        if channel not in refused
    }
    busy = {channel: utilisation(samples[f"ours {channel}"]) for channel in channels}

    def row(name: str, some: list[str]) -> list[str]:
        audio_sec, ours_sec, limit_sec = (sum(part[c] for c in some) for part in (seconds, ours, limit))
        readable = [c for c in some if c in usual]
        usual_sec = sum(usual[c] for c in readable)
        usual_speed = sum(seconds[c] for c in readable) / usual_sec if readable else 0.0
        own = sum(ours[c] for c in readable)
        share = sum(busy[c] * ours[c] for c in some) / ours_sec
        return [
            name,
            f"{audio_sec / 60:.1f}",
            f"{audio_sec / ours_sec:,.0f}",
            f"{audio_sec / limit_sec:,.0f}",
            f"{usual_speed:,.0f}" if readable else "–",
            f"{usual_sec / own:.1f}" if readable else "–",
            f"{ours_sec / limit_sec:.2f}",
            f"{share:.0%}",
        ]

    readable = list(usual)
    goals = [
        Goal("ours / usual", sum(usual.values()) / sum(ours[c] for c in readable), 10, at_least=True, unit=" ×"),
        Goal("time of ours / time of the limit", sum(ours.values()) / sum(limit.values()), 1.5, at_least=False),
    ]
    notes = [f"cold, workers starting within the time: {cold[0]} at {cold[1]:,.0f} × real time"]
    notes += [f"librosa here cannot read {channel}: {why}" for channel, why in refused.items()]
    notes.append(describe_disturbance(samples))
    columns = ["format", "min", "ours ×rt", "limit ×rt", "usual ×rt", "vs usual", "vs limit", "busy"]
    rows = [*(row(channel, [channel]) for channel in channels), row("all", channels)]
    return Report(columns, rows, goals, notes, {"cold_x_real_time": cold[1], "runs": runs_as_dicts(samples)})


def _first_sec(bucket: RawBucket, channel: str) -> float:
    end: float = read_lines(bucket.recordings[channel][0])[-1]["end"]
    return end
