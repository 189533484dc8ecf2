"""The part of NeuCodec's benchmark that wants a GPU. With `--quick` it runs anywhere, with a small model."""

import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch

from benchmarks.common import Options
from benchmarks.neucodec_models import Models, encode_one_by_one, make_clips, timings_sec, total_sec
from benchmarks.sections import Sections
from voice_assets_tests.core.codecs.original_neucodec import synthetic_speech
from voice_core.codecs.base import Audio, Codes
from voice_core.codecs.neucodec.engine import TOLERANCE, NeuCodecEngine

PRECISIONS = ("fp32", "tf32", "bf16", "fp16")
_HZ = 16_000
_COMPILING_SEC = 90.0  # what a precision's compilation may take


def measure_on_gpu(where: torch.device, made: Models, sections: Sections, options: Options) -> Callable[[], None]:
    """All sections but those that a CPU has, too; what is most wanted comes first.

    Returns what measures the compiled encoders: how long a compiler takes is not known, so that comes last of all.
    """
    speeds: dict[str, float] = {}
    many, batch = (4, (1, 2)) if options.quick else (400, (1, 4, 16, 64))
    mixed = make_clips(many)
    equal = [synthetic_speech(5.0 if not options.quick else 0.5, 5_000 + n) for n in range(4 if options.quick else 48)]
    some = mixed[: 3 if options.quick else 24]
    alone: list[Codes] = []

    def keep(name: str, audio: Sequence[Audio], call: Callable[[], object]) -> None:
        speeds[name] = total_sec(audio) / float(np.median(timings_sec(call, where, options.runs)))
        sections.found["gpu"] = {"x_real_time": dict(speeds)}

    def original() -> dict[str, float]:
        alone.extend(encode_one_by_one(made.original, some))
        keep("the original's loop", some, lambda: encode_one_by_one(made.original, some))
        for size in batch:
            stacked = torch.from_numpy(np.stack([equal[n % len(equal)] for n in range(size)]))[:, None].to(where)
            audio = [equal[0]] * size
            keep(f"the original, batches of {size}", audio, lambda stacked=stacked: _encode_stacked(made, stacked))
        return dict(speeds)

    def ours(precision: str, compiled: bool) -> dict[str, Any]:
        engine = made.engine(where, precision)
        if compiled:
            engine._encoder.compile(backend="eager" if options.quick else "inductor")
        name = f"ours, {precision}{', compiled' if compiled else ''}"
        began = time.perf_counter()
        codes = engine.encode(some, _HZ)
        first_sec = time.perf_counter() - began
        engine.encode(equal, _HZ)
        before = engine.rechecked
        keep(f"{name}, equal lengths", equal, lambda: engine.encode(equal, _HZ))
        keep(f"{name}, lengths as they come", mixed, lambda: engine.encode(mixed, _HZ))
        rechecked = (engine.rechecked - before) / (options.runs + 1)
        if precision == "fp32":
            engine.tolerance = 0.0
            keep(f"{name}, equal lengths, nothing checked twice", equal, lambda: engine.encode(equal, _HZ))
            engine.tolerance = TOLERANCE
        return {
            "first_call_sec": first_sec,
            "clips_checked_twice": rechecked,
            "of_clips": len(equal) + len(mixed),
            "peak_memory_gib": _peak_memory_gib(where),
            "against_the_originals_loop": count_flips(engine, some, codes, alone),
        }

    def batches() -> dict[str, float]:
        found: dict[str, float] = {}
        for precision in ("fp32", "bf16"):
            engine = made.engine(where, precision)
            engine.tolerance = 0.0
            for count in (1, 2) if options.quick else (1, 3, 6, 12, 24, 48, 96):
                audio = [equal[n % len(equal)] for n in range(count)]
                taken = timings_sec(lambda audio=audio, engine=engine: engine.encode(audio, _HZ), where, options.runs)
                sec = float(np.median(taken))
                found[f"{precision}, {total_sec(audio):.0f} s at once"] = total_sec(audio) / sec
        return found

    sections.run("gpu_original", original)
    for precision in PRECISIONS:
        sections.run(f"gpu_{precision}", lambda precision=precision: ours(precision, False))
    sections.run("gpu_between_precisions", lambda: compare_precisions(where, made, some))
    sections.run("gpu_batch_sizes", batches, needs_sec=30)

    def compiled() -> None:
        for precision in ("fp32", "bf16", "tf32", "fp16"):
            needs_sec = 0.0 if options.quick else _COMPILING_SEC
            sections.run(f"gpu_{precision}_compiled", lambda p=precision: ours(p, True), needs_sec=needs_sec)

    return compiled


def _encode_stacked(made: Models, stacked: torch.Tensor) -> None:
    with torch.inference_mode():
        made.original.encode_code(stacked)


def count_flips(
    engine: NeuCodecEngine, some: Sequence[Audio], codes: Sequence[Codes], wanted: Sequence[Codes]
) -> dict[str, Any]:
    """How many codes are others, and how far the plain path's values were from a boundary where they are.

    A flip is rounding's where its margin is as small as what rounding does; compare with `margins_of_all`.
    """
    margins: list[float] = []
    everywhere: list[float] = []
    total = 0
    for clip, found, right in zip(some, codes, wanted, strict=True):
        _, margin = engine.encode_reference(clip, _HZ)
        everywhere += margin.tolist()
        margins += margin[found != right].tolist()
        total += len(right)
    return {
        "codes": total,
        "differ": len(margins),
        "share": len(margins) / max(1, total),
        "margins_of_flips": distribution(margins),
        "margins_of_all": distribution(everywhere),
        "flips_beyond": {f"{bound:g}": sum(one > bound for one in margins) for bound in (1e-5, 1e-4, 1e-3, 1e-2, 0.1)},
    }


def distribution(values: Sequence[float]) -> dict[str, float]:
    """Some quantiles.

    >>> distribution([])
    {}
    """
    if not len(values):
        return {}
    at = (0, 1, 10, 50, 90, 99, 100)
    return {f"p{q}": float(v) for q, v in zip(at, np.percentile(values, at), strict=True)}


def compare_precisions(where: torch.device, made: Models, some: Sequence[Audio]) -> dict[str, Any]:
    """The share of codes in which each precision differs from fp32's own."""
    engine = made.engine(where, "fp32")
    base = engine.encode(some, _HZ)
    return {
        precision: count_flips(engine, some, made.engine(where, precision).encode(some, _HZ), base)
        for precision in PRECISIONS[1:]
    }


def _peak_memory_gib(where: torch.device) -> float | None:
    if where.type != "cuda":
        return None
    found = torch.cuda.max_memory_allocated(where) / 2**30
    torch.cuda.reset_peak_memory_stats(where)
    return round(found, 2)
