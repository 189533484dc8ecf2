"""Synthesis: what the pipeline costs beyond its engine, whether it keeps engines busy, and whether it slows down.

An engine like one on a GPU takes 20 ms for an utterance in which this machine's cores are free, and answers 3 s of
audio (288 kB); 20 ms is a small fraction of what real ones take, so that the pipeline's share is seen large. Dialogues
have six turns of two voices. Then 100,000 groups of one turn that costs nothing, in which only the pipeline works:
speed and memory of every tenth. Then hibari on this machine's cores.

Prediction: the pipeline's own cost is under 1 % of wall time serially and in a thread, and under 2 % in a process, to
which the audio goes through a pipe; engines are idle for as much. The last tenth of 100,000 groups is within 5 % as
fast as the first, and memory grows by less than 10 MB. On two quiet cores, two processes of hibari are 1.9 times as
fast as one engine, and two threads 1.3 times, since much of hibari's time is numpy's.
"""

import dataclasses
import resource
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from itertools import islice, repeat
from pathlib import Path

import numpy as np

from benchmarks.common import Options, describe_disturbance, median_sec, run_interleaved, runs_as_dicts
from benchmarks.report import Goal, Report
from voice_core.synthesis import Backend, EngineSpec, SynthesisOptions, SynthesisStats, UtteranceGroup, synthesise
from voice_core.synthesis.types import BACKENDS
from voice_core.tts import Capabilities, EngineBase, Samples, Speech, SpeechEngine, Utterance

COST_SEC = 0.02
SPEECH_SEC = 3
SENTENCES = (
    "The train to the coast leaves at half past seven every morning.",
    "I would rather walk, if you do not mind the rain.",
    "Could you tell me where the library is?",
    "It closes early on Fridays, so hurry up.",
    "Nobody had expected the answer to be so simple.",
    "All right, let us start again from the beginning.",
)


class PretendEngine(EngineBase):
    """Noise after a known time, in which the processor is free."""

    name, revision, sample_rate_hz, voices = "pretend", "1", 24_000, ()
    capabilities = Capabilities(deterministic=True, thread_safe=True)

    def __init__(self, cost_sec: float, samples: int) -> None:
        self._cost_sec = cost_sec
        self._audio = np.random.default_rng(0).uniform(-0.5, 0.5, samples).astype(np.float32)

    def speak(self, utterance: Utterance) -> Speech:
        if self._cost_sec:
            time.sleep(self._cost_sec)
        return Speech(self._audio.copy(), self.sample_rate_hz, self.name, self.revision)

    def stream(self, utterance: Utterance) -> Iterator[Samples]:
        yield self.speak(utterance).audio

    def warm(self, voice: str) -> None: ...
    def clear(self) -> None: ...


@dataclass(frozen=True)
class PretendEngineSpec(EngineSpec):
    def load(self) -> SpeechEngine:
        return PretendEngine(**self.options)  # type: ignore[arg-type]


def pretend_spec(cost_sec: float, samples: int) -> PretendEngineSpec:
    return PretendEngineSpec("pretend", {"cost_sec": cost_sec, "samples": samples}, memory_gb=0.1, thread_safe=True)


def measure(options: Options) -> Report:
    count = 20 if options.quick else 150
    own = {f"{backend}": _measure_overhead(backend, count) for backend in BACKENDS[1:]}
    tenths: dict[str, list[float]] = {}
    cpu: dict[str, list[float]] = {}
    growth: dict[str, float] = {}
    for backend in BACKENDS[1:3]:
        tenths[backend], cpu[backend], growth[backend] = _measure_stability(
            backend, 2_000 if options.quick else 100_000
        )
    engine = EngineSpec("hibari", thread_safe=True)
    groups = _dialogues(3 if options.quick else 12)
    chosen = (SynthesisOptions("serial", 1), SynthesisOptions("thread", 2), SynthesisOptions("process", 2))
    cases = {f"{case.backend} × {case.workers}": partial(_prepare_synthesis, groups, engine, case) for case in chosen}
    samples = run_interleaved(cases, 1 if options.quick else options.runs)
    alone = median_sec(samples["serial × 1"])
    rows = [
        [f"20 ms engine, {name}", f"{cost:.2%}", f"{idle:.2%}", f"{switches}"]
        for name, (cost, idle, switches) in own.items()
    ]
    rows += [
        [f"empty engine, {name}, first and last tenth", f"{speeds[0]:,.0f} → {speeds[-1]:,.0f}/s", "", ""]
        for name, speeds in tenths.items()
    ]
    rows += [[f"hibari, {name}", f"{alone / median_sec(found):.2f} ×", "", ""] for name, found in samples.items()]
    goals = [
        goal
        for name, (cost, idle, _) in own.items()
        for goal in (
            Goal(f"own cost, {name}", 100 * cost, 3, at_least=False, unit=" %"),
            Goal(f"engine idle, {name}", 100 * idle, 3, at_least=False, unit=" %"),
        )
    ]
    goals += [
        Goal(
            f"speed of the last tenths against the first, {name}",
            min(speeds[-2:]) / speeds[0],
            0.9,
            at_least=True,
            unit=" ×",
        )
        for name, speeds in tenths.items()
    ]
    goals += [
        Goal(f"CPU time of the last tenths against the first, {name}", max(each[-2:]) / each[0], 1.1, False, " ×")
        for name, each in cpu.items()
    ]
    goals += [Goal(f"memory grown, {name}", value, 20, at_least=False, unit=" MB") for name, value in growth.items()]
    return Report(
        columns=["what", "own cost, speed", "idle", "voice switches"],
        rows=rows,
        goals=goals,
        # The time of workers that have ended would count as others'.
        notes=[describe_disturbance({name: found for name, found in samples.items() if "process" not in name})],
        details={
            "tenths_groups_per_sec": tenths,
            "tenths_cpu_sec": cpu,
            "memory_grown_mb": growth,
            "hibari_runs": runs_as_dicts(samples),
        },
    )


def _dialogues(count: int) -> list[UtteranceGroup]:
    return [
        UtteranceGroup(
            f"{n}", tuple(Utterance(text, ("heart", "heart-low")[i % 2], seed=n) for i, text in enumerate(SENTENCES))
        )
        for n in range(count)
    ]


def _measure_overhead(backend: Backend, count: int) -> tuple[float, float, int]:
    """The share of wall time in which no engine speaks, from the first group on; the engine's idle share; switches.

    Loading and the first group, which waits for half a window, are not in the first number.
    """
    stats = SynthesisStats()
    engine = pretend_spec(COST_SEC, SPEECH_SEC * 24_000)
    spoken = synthesise(_dialogues(count), engine, SynthesisOptions(backend, workers=1), stats)
    next(spoken)
    began, engine_sec = time.perf_counter(), stats.engine_sec
    for _ in spoken:
        pass
    wall_sec = time.perf_counter() - began
    return 1 - (stats.engine_sec - engine_sec) / wall_sec, 1 - stats.engine_busy_share, stats.voice_switches


def _measure_stability(backend: Backend, count: int) -> tuple[list[float], list[float], float]:
    """Groups a second and CPU seconds in each tenth, and MB by which this process grew from the first to the last.

    Other programs disturb CPU seconds less.
    """
    group = UtteranceGroup("x", (Utterance("x"),))
    spoken = synthesise(repeat(group, count), pretend_spec(0, 240), SynthesisOptions(backend, workers=2))
    speeds, cpu, memory = [], [], []
    began, cpu_began = time.perf_counter(), time.process_time()
    while any(True for _ in islice(spoken, count // 10 - 1, count // 10)):
        now = time.perf_counter()
        speeds.append(count / 10 / (now - began))
        memory.append(_resident_mb())
        cpu.append(time.process_time() - cpu_began)
        began, cpu_began = time.perf_counter(), time.process_time()
    return speeds, cpu, memory[-1] - memory[0]


def _resident_mb() -> float:
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() / 1e6


def _prepare_synthesis(groups: list[UtteranceGroup], engine: EngineSpec, options: SynthesisOptions):  # type: ignore[no-untyped-def]
    """Workers are started and engines loaded before the clock runs: with the first group."""

    def call() -> None:
        for _ in spoken:
            pass

    few_ahead = dataclasses.replace(options, planner_buffer=8, group_by_voice=False)  # hibari's voices cost nothing
    spoken = synthesise([*_dialogues(2), *groups], engine, few_ahead)
    next(spoken)
    return call
