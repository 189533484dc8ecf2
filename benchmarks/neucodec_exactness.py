"""NeuCodec: how far the values that are rounded to codes lie from the original's, and how many codes differ.

Full-size architecture with random weights, calibrated until codes vary; clips of 1 to 8 s. Values are in steps of the
quantiser, after its bounds and before it rounds. Every path is compared with one thread and with two, and with the
same number of threads on both sides: the libraries' products of matrices sum in another order with another number.

Prediction: with the same number of threads ours differs from the plain path by no bit, and the plain path from the
original by none; between one thread and two the plain path moves by 3e-5 of a step at most, which changes no code or
one.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.common import Options
from benchmarks.neucodec_models import INPUT_HZ, build_models, make_clips, select_device, total_sec
from benchmarks.report import Goal, Report
from benchmarks.sections import Sections
from voice_assets_tests.core.codecs import original_neucodec as reference
from voice_core.codecs.base import Audio
from voice_core.codecs.neucodec.engine import TOLERANCE, NeuCodecEngine, float32_precision

_THREADS = (1, 2)


def measure(options: Options) -> Report:
    where = select_device()
    name = "neucodec_exactness" if where.type == "cpu" else f"neucodec_exactness_{where.type}"
    sections = Sections(options.folder / f"{name}.json" if options.folder else None, 570.0)
    some = make_clips(3 if options.quick else 8)
    with build_models(options.quick) as made:
        model, engine = made.original.to(where), made.engine(where)
        sections.run("paths", lambda: _paths(model, engine, some))
        model.to("cpu")
    return _report(name, sections, engine, some)


class OutputCapture:
    """What a module gave last, kept by a hook."""

    def __init__(self, module: nn.Module) -> None:
        self.value = torch.empty(0)
        module.register_forward_hook(self._keep)

    def _keep(self, _: nn.Module, __: object, value: Tensor) -> None:
        self.value = value.detach().float().reshape(-1, value.shape[-1]).cpu()


def _paths(model: Any, engine: NeuCodecEngine, some: list[Audio]) -> dict[str, Any]:
    """Values before rounding, [codes, 8] a clip, by path and number of threads, compared two by two."""
    there, here = OutputCapture(model.generator.quantizer.project_in), OutputCapture(engine._model.quantizer.project_in)
    bound = engine._model.quantizer.quantizer.bound

    def ours(clip: Audio) -> Tensor:
        with torch.inference_mode(), float32_precision("fp32"):
            audio = engine._padded([clip], INPUT_HZ)
            engine._encoder(audio, engine._features(audio))
        return here.value

    def plain(clip: Audio) -> Tensor:
        with torch.inference_mode(), float32_precision("fp32"):  # `encode_alone` would keep to one thread
            engine._alone(clip, INPUT_HZ)
        return here.value

    def original(clip: Audio) -> Tensor:
        reference.encode_with_original(model, clip)
        return there.value

    values: dict[tuple[str, int], list[Tensor]] = {}
    paths: dict[str, Callable[[Audio], Tensor]] = {"original": original, "plain": plain, "ours": ours}
    threads = torch.get_num_threads()
    try:
        for count in _THREADS if engine.device.type == "cpu" else (threads,):
            torch.set_num_threads(count)
            for name, path in paths.items():
                values[name, count] = [bound(bound(path(clip).to(engine.device))).cpu() for clip in some]
    finally:
        torch.set_num_threads(threads)
    counts = sorted({count for _, count in values})
    pairs = [((one, n), (other, n)) for n in counts for one, other in (("plain", "original"), ("ours", "plain"))]
    pairs += [((name, counts[0]), (name, counts[-1])) for name in ("plain", "ours") if len(counts) > 1]
    return {
        "clips": len(some),
        "audio_sec": total_sec(some),
        "codes": sum(len(value) for value in values["ours", counts[0]]),
        "distinct": len({tuple(row) for value in values["ours", counts[0]] for row in value.round().tolist()}),
        "pairs": {f"{_path_label(a)} – {_path_label(b)}": _compare_values(values[a], values[b]) for a, b in pairs},
        "nearest_to_a_boundary": _count_near_boundary(values["plain", counts[0]]),
    }


def _path_label(path: tuple[str, int]) -> str:
    return f"{path[0]}, {path[1]} thread{'s' if path[1] > 1 else ''}"


def _compare_values(some: list[Tensor], others: list[Tensor]) -> dict[str, float]:
    difference = torch.cat([(a - b).abs() for a, b in zip(some, others, strict=True)])
    flipped = torch.cat([(a.round() != b.round()).any(-1) for a, b in zip(some, others, strict=True)])
    return {
        "largest_difference": float(difference.max()),
        "p99_difference": float(np.quantile(difference.numpy(), 0.99)),
        "codes_that_differ": int(flipped.sum()),
    }


def _count_near_boundary(values: list[Tensor]) -> dict[str, Any]:
    """How many codes and clips lie so near to a boundary: what a tolerance would have encoded twice."""
    margins = [(0.5 - (value - value.round()).abs()).amin(-1) for value in values]
    every = torch.cat(margins)
    return {
        f"{bound:g}": {
            "codes": int((every < bound).sum()),
            "clips": sum(bool((margin < bound).any()) for margin in margins),
        }
        for bound in (1e-6, 5e-6, TOLERANCE, 1e-4, 1e-3)
    }


def _report(name: str, sections: Sections, engine: NeuCodecEngine, some: list[Audio]) -> Report:
    found = sections.found.get("paths", {})
    pairs = found.get("pairs", {})
    rows = [
        [pair, f"{one['largest_difference']:.2g}", f"{one['p99_difference']:.2g}", str(one["codes_that_differ"])]
        for pair, one in pairs.items()
    ]
    goals = [
        Goal(f"codes that differ: {pair}", one["codes_that_differ"], 0, at_least=False)
        for pair, one in pairs.items()
        if pair.startswith("ours") and "plain" in pair
    ]
    goals += [Goal("distinct codes", found["distinct"], 1_000, at_least=True)] if found else []
    near = found.get("nearest_to_a_boundary", {})
    notes = [f"{found.get('codes')} codes of {total_sec(some):.0f} s in {len(some)} clips"]
    notes += [f"nearer than {b} to a boundary: {n['codes']} codes, in {n['clips']} clips" for b, n in near.items()]
    notes.append(f"clips are encoded again by the plain path for codes nearer than {engine.tolerance:g}")
    notes += [f"{one}: {why.strip().splitlines()[-1]}" for one, why in sections.failed.items()]
    columns = ["between", "largest difference", "99 % below", "codes that differ"]
    details = {**found, "tolerance": engine.tolerance, "failed": sections.failed}
    return Report(columns, rows, goals, notes, details, name=name)
