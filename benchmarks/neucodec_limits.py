"""What NeuCodec's encoder needs, counted, and what the machine has to give, measured."""

import os
import statistics
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.neucodec_models import INPUT_HZ, BytesWritten, timings_sec
from voice_assets_tests.core.codecs import original_neucodec as reference
from voice_assets_tests.core.codecs.original_neucodec import synthetic_speech
from voice_core.codecs.neucodec.engine import NeuCodecEngine, float32_precision
from voice_core.codecs.neucodec.network import FusedActivation

_COUNTED_SEC = 4.0
_DTYPES = {"fp32": torch.float32, "tf32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def work_per_second(model: Any, engine: NeuCodecEngine) -> dict[str, dict[str, float]]:
    """GFLOP and GB written by layers of the acoustic encoder, a second of audio: the original's and ours.

    The clip is padded by a code's worth of zeros, as both do, which is 0.5 % of it.
    """
    clip = synthetic_speech(_COUNTED_SEC, 1)
    with FlopCounterMode(display=False) as counter, BytesWritten(model.CodecEnc) as written:
        reference.encode_with_original(model, clip)
    there = _gflop(counter, {"semantic": model.semantic_model, "acoustic": model.CodecEnc}, model)
    there["acoustic_gb_written"] = written.total / _COUNTED_SEC / 1e9
    encoder = engine._encoder
    with torch.inference_mode():
        audio = engine._padded([clip], INPUT_HZ)
        features = engine._features(audio)
        with FlopCounterMode(display=False) as counter, BytesWritten(encoder.acoustic, (FusedActivation,)) as written:
            encoder(audio, features)
    here = _gflop(counter, {"semantic": encoder.semantic, "acoustic": encoder.acoustic}, encoder)
    here["acoustic_gb_written"] = written.total / _COUNTED_SEC / 1e9
    return {"original": there, "ours": here}


def _gflop(counter: FlopCounterMode, parts: dict[str, torch.nn.Module], whole: torch.nn.Module) -> dict[str, float]:
    names = {id(module): name for name, module in whole.named_modules()}
    counts = counter.get_flop_counts()
    by_module = {key.rpartition(f"{type(whole).__name__}.")[2]: sum(value.values()) for key, value in counts.items()}
    found = {f"{part}_gflop": by_module.get(names[id(module)], 0) for part, module in parts.items()}
    found["all_gflop"] = counter.get_total_flops()
    return {key: value / _COUNTED_SEC / 1e9 for key, value in found.items()}


def matmul_tflops(device: torch.device, precision: str, size: int) -> float:
    """The most that a product of two square matrices reaches; on a CPU all cores at one product a core."""
    made = [torch.randn(size, size, device=device, dtype=_DTYPES[precision]) for _ in range(2)]
    cores = len(os.sched_getaffinity(0)) if device.type == "cpu" else 1

    def product(_: int = 0) -> None:
        with torch.inference_mode():
            torch.matmul(*made)

    with float32_precision(precision):
        if device.type != "cpu":
            return 2 * size**3 / _best_sec(product, device) / 1e12
        threads = torch.get_num_threads()
        try:
            with ThreadPoolExecutor(cores, initializer=lambda: torch.set_num_threads(1)) as pool:
                best = _best_sec(lambda: [*pool.map(product, range(cores))], device)
        finally:
            torch.set_num_threads(threads)
    return 2 * size**3 * cores / best / 1e12


def copy_tb_per_sec(device: torch.device, size_gb: float) -> float:
    """Bytes read and written a second while a large tensor is copied."""
    source = torch.zeros(int(size_gb * 1e9 / 4), device=device)
    target = torch.empty_like(source)
    return 2 * source.numel() * 4 / _best_sec(lambda: target.copy_(source), device) / 1e12


def _best_sec(call: Callable[[], object], device: torch.device, rounds: int = 10) -> float:
    """The median of the faster half: what a machine can give is what it gives undisturbed."""
    return statistics.median(sorted(timings_sec(call, device, rounds, warm=2))[: rounds // 2])
