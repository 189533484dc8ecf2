"""NeuCodec: the original's encode_code, a clip at a time, against ours; from .npz to committed .npz, too.

Full-size architecture with random weights; clips of 1 to 8 s, no two of one length. The work is counted, and the
machine's limits are measured in the same run. One command, on whatever is there: on a CPU the files are
neucodec_cpu.json and neucodec_cpu_profile.txt. On a GPU also the original in batches, ours in four precisions with and
without torch.compile, batch sizes, and the codes that differ, with how far they were from a boundary; the files are
neucodec_cuda.json and neucodec_cuda_profile.txt.

Prediction: on two cores ours is 1.8 times as fast as the original's loop, with every code equal to that of the
original that runs a clip a core as ours does: 73.5 GFLOP a second of audio at 170 GFLOP/s are 0.43 s, activations are
0.08 s more, and the original takes 0.95 s. From files to files the ratio is the same. On an H200 ours in fp32 is 20
times as fast as the loop, and reaches half of the 900 × real time that 67 TFLOP/s allow.
"""

import platform
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.profiler import ProfilerActivity, profile

from benchmarks.common import (
    Options,
    Prepare,
    describe_disturbance,
    median_sec,
    run_interleaved,
    runs_as_dicts,
    utilisation,
)
from benchmarks.neucodec_cuda import PRECISIONS, measure_on_gpu
from benchmarks.neucodec_limits import copy_tb_per_sec, matmul_tflops, work_per_second
from benchmarks.neucodec_models import (
    PARTITION,
    Models,
    build_models,
    encode_one_by_one,
    make_clips,
    run_seed_loop,
    select_device,
    synchronise,
    total_sec,
    write_partition,
)
from benchmarks.neucodec_optimizations import ATTEMPTS
from benchmarks.report import Goal, Report, describe_machine
from benchmarks.sections import Sections
from benchmarks.speech_corpus import benchmark_settings
from voice_core.codecs.base import Audio, Codes
from voice_core.codecs.neucodec import NeuCodec
from voice_core.codecs.neucodec.engine import NeuCodecEngine
from voice_core.compute.workers import core_count
from voice_core.corpus.encode.encode_stage import build_codes
from voice_core.corpus.manifest import read_complete_manifest
from voice_core.corpus.segment.segment_files import load_segment
from voice_core.storage.store import Store

_LIMIT_SEC = 570.0  # after which nothing new is begun


def measure(options: Options) -> Report:
    where = select_device()
    name = f"neucodec_{where.type}"
    sections = Sections(options.folder / f"{name}.json" if options.folder else None, _LIMIT_SEC)
    sections.run("machine", lambda: {**describe_machine(), **_accelerator(where)})
    with build_models(options.quick) as made:
        model = made.original.to(where)
        compiled: Callable[[], None] = lambda: None  # noqa: E731
        if where.type == "cuda" or options.quick:
            compiled = measure_on_gpu(where, made, sections, options)
        engine = made.engine(where)
        sections.run("work_per_second", lambda: work_per_second(model, engine))
        sections.run("limits", lambda: _limits(where, options.quick))
        some = make_clips(6 if options.quick else 10)
        codes: dict[str, list[Codes]] = {}
        sections.run("speed", lambda: _speed(model, engine, some, options, codes))
        sections.run("codes", lambda: _codes(engine, codes, some))
        sections.run("files", lambda: _files(made, where, options))
        if options.folder:
            path = options.folder / f"{name}_profile.txt"
            sections.run("profile", lambda: _profile(engine, some[:4], path))
        compiled()
        model.to("cpu")
    return _report(name, sections)


def _accelerator(where: torch.device) -> dict[str, Any]:
    found: dict[str, Any] = {"torch": torch.__version__, "system": platform.platform()}
    if where.type == "cuda":
        about = torch.cuda.get_device_properties(where)
        found |= {
            "gpu": about.name,
            "gpu_memory_gib": round(about.total_memory / 2**30, 1),
            "cuda": torch.version.cuda,
            "cudnn": torch.backends.cudnn.version(),
        }
    else:
        found["isa"] = torch.backends.cpu.get_cpu_capability()
    return found


def _limits(where: torch.device, quick: bool) -> dict[str, float]:
    size = (2048 if where.type == "cpu" else 8192) // (4 if quick else 1)
    precisions = ("fp32",) if where.type == "cpu" else ("fp32", "tf32", "bf16", "fp16")
    found = {f"matmul_{precision}_tflops": matmul_tflops(where, precision, size) for precision in precisions}
    return {**found, "copy_tb_per_sec": copy_tb_per_sec(where, 0.2 if where.type == "cpu" or quick else 4.0)}


def _speed(
    model: Any, engine: NeuCodecEngine, some: list[Audio], options: Options, codes: dict[str, list[Codes]]
) -> dict[str, Any]:
    """The original's loop, the original a clip a core (on a CPU), and ours, turn by turn. Leaves what they gave."""

    def case(name: str, call: Callable[[], list[Codes]]) -> Prepare:
        def run() -> None:
            codes[name] = call()
            synchronise(engine.device)

        return lambda: run

    cases = {
        "original": case("original", lambda: encode_one_by_one(model, some)),
        "ours": case("ours", lambda: engine.encode(some, 16_000)),
    }
    if engine.device.type == "cpu":
        cases["original, a clip a core"] = case(
            "original, a clip a core", lambda: _encode_one_clip_per_core(model, some)
        )
    for prepare in cases.values():  # first calls choose kernels
        if engine.device.type == "cuda":
            prepare()()
    before = engine.rechecked
    samples = run_interleaved(cases, options.runs)
    audio_sec = total_sec(some)
    return {
        "audio_sec": audio_sec,
        "x_real_time": {name: audio_sec / median_sec(found) for name, found in samples.items()},
        "busy": {name: utilisation(found) for name, found in samples.items()},
        "clips": len(some),
        "clips_rechecked_by_the_plain_path": (engine.rechecked - before) / options.runs,
        "disturbance": describe_disturbance(samples),
        "runs": runs_as_dicts(samples),
    }


def _encode_one_clip_per_core(model: Any, some: list[Audio]) -> list[Codes]:
    threads = torch.get_num_threads()
    order = sorted(range(len(some)), key=lambda number: -len(some[number]))
    try:
        with ThreadPoolExecutor(core_count(), initializer=lambda: torch.set_num_threads(1)) as pool:
            made = dict(zip(order, pool.map(lambda n: encode_one_by_one(model, [some[n]])[0], order), strict=True))
    finally:
        torch.set_num_threads(threads)
    return [made[number] for number in range(len(some))]


def _codes(engine: NeuCodecEngine, codes: dict[str, list[Codes]], some: list[Audio]) -> dict[str, Any]:
    """Ours against the original's: of the loop, and of as many threads a clip as ours."""
    ours = np.concatenate(codes["ours"])
    found: dict[str, Any] = {"codes": len(ours), "distinct": len(np.unique(ours))}
    for name, others in codes.items():
        differ = [(n, at) for n in range(len(some)) for at in np.flatnonzero(others[n] != codes["ours"][n])]
        if name != "ours":
            found[f"differ from: {name}"] = len(differ)
            found[f"their margins: {name}"] = [
                float(engine.encode_reference(some[n], 16_000)[1][at]) for n, at in differ
            ]
    return found


def _files(made: Models, where: torch.device, options: Options) -> dict[str, Any]:
    """A partition of .npz: the seed's loop, and build_codes with its checks, checksums and manifest.

    Neither decodes what it has encoded; the stage does so for a share of the segments unless that is 0. Models are
    loaded and warm. On a GPU the loop has fewer files, and speeds are compared by audio second.
    """
    many = 6 if options.quick else 10 if where.type == "cpu" else 800
    few = many if where.type == "cpu" else 40
    with tempfile.TemporaryDirectory(prefix="voice-neucodec-files-") as name:
        root = Path(name)
        work, ours_sec = write_partition(root / "work", many)
        _, loop_sec = write_partition(root / "few", few)
        settings = benchmark_settings(root, root / "work", roundtrip_share=0.0, guard_share=0.0)
        codec = made.codec(where)
        codec.encode(make_clips(1))  # weights are hashed and read
        seed: dict[str, list[Codes]] = {}

        def loop() -> None:
            seed["codes"] = run_seed_loop(made.original, root / "few" / "segments" / str(PARTITION), root / "seed")

        samples = run_interleaved(
            {
                "files: seed's loop": lambda: loop,
                "files: build_codes": partial(_prepare_build, work, codec, settings),
            },
            options.runs,
        )
        rows = read_complete_manifest(work, "coded", PARTITION).kept()
        built = [load_segment(work.get(row.key), row.key).codes for row in sorted(rows, key=lambda row: row.key)][:few]
    speeds = {
        "files: seed's loop": loop_sec / median_sec(samples["files: seed's loop"]),
        "files: build_codes": ours_sec / median_sec(samples["files: build_codes"]),
    }
    return {
        "audio_sec": {"files: seed's loop": loop_sec, "files: build_codes": ours_sec},
        "x_real_time": speeds,
        "busy": {name: utilisation(found) for name, found in samples.items()},
        "codes_that_differ": _count_differing(built, seed["codes"]) if many == few else None,
        "codes": sum(map(len, built)),
        "disturbance": describe_disturbance(samples),
        "runs": runs_as_dicts(samples),
    }


def _prepare_build(work: Store, codec: NeuCodec, settings: Any) -> Callable[[], object]:
    work.delete([item.key for item in work.listing(f"coded/{PARTITION}/")])
    return partial(build_codes, work, PARTITION, codec, settings)


def _count_differing(one: list[Codes], other: list[Codes]) -> int:
    return sum(int((a != b).sum()) if len(a) == len(b) else len(b) for a, b in zip(one, other, strict=True))


def _profile(engine: NeuCodecEngine, some: list[Audio], path: Path) -> str:
    activities = [ProfilerActivity.CPU]
    if engine.device.type == "cuda":
        activities.append(ProfilerActivity.CUDA)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with profile(activities=activities) as seen:
            for clip in some:
                engine.encode([clip], 16_000)
    finally:
        torch.set_num_threads(threads)
    order = "self_cuda_time_total" if engine.device.type == "cuda" else "self_cpu_time_total"
    about = f"{total_sec(some):.1f} s of audio in {len(some)} clips, one by one, one thread\n"
    path.write_text(about + seen.key_averages().table(sort_by=order, row_limit=25), encoding="utf-8")
    return path.name


def _row(name: str, x_real_time: float, base: float, limit: float, busy: str) -> list[str]:
    speed = f"{x_real_time:.2f}" if x_real_time < 20 else f"{x_real_time:,.0f}"
    ratio = f"{x_real_time / base:.2f}" if base else "–"
    return [name, speed, ratio, f"{x_real_time / limit:.0%}" if limit else "–", busy]


def _report(name: str, sections: Sections) -> Report:
    found = sections.found
    speed, files = found.get("speed", {}), found.get("files", {})
    work, limits = found.get("work_per_second", {}), found.get("limits", {})
    gflop = work.get("ours", {}).get("all_gflop", 0.0)
    limit = limits.get("matmul_fp32_tflops", 0.0) * 1e3 / gflop if gflop else 0.0
    x = {**speed.get("x_real_time", {}), **files.get("x_real_time", {})}
    busy = {**speed.get("busy", {}), **files.get("busy", {})}
    base = {one: "files: seed's loop" if one.startswith("files") else "original" for one in x}
    rows = [_row(one, value, x[base[one]], limit, f"{busy[one]:.0%}") for one, value in x.items()]
    gpu = found.get("gpu", {}).get("x_real_time", {})
    for one, value in gpu.items():
        precision = next((name for name in PRECISIONS if f"ours, {name}" in one), "fp32")
        most = limits.get(f"matmul_{precision}_tflops", 0.0) * 1e3 / gflop if gflop else 0.0
        rows.append(_row(one, value, gpu.get("the original's loop", 0.0), most, ""))
    cuda = name.endswith("cuda")
    goals = []
    if "ours" in x:
        goals.append(Goal("ours / original", x["ours"] / x["original"], 20 if cuda else 1.8, at_least=True, unit=" ×"))
    if "files: build_codes" in x:
        ratio = x["files: build_codes"] / x["files: seed's loop"]
        goals.append(Goal("from files to files", ratio, 20 if cuda else 1.8, at_least=True, unit=" ×"))
    if codes := found.get("codes"):
        goals.append(Goal("distinct codes", codes["distinct"], 1_000, at_least=True))
        same = codes.get("differ from: original, a clip a core", codes["differ from: original"])
        goals.append(Goal("codes that are not the original's", same, 0, at_least=False))
    notes = [f"counted: {gflop:.1f} GFLOP a second of audio; limit: fp32 matrix products here, {limit:.2f} × real time"]
    notes += [f"{part['disturbance']}" for part in (speed, files) if part]
    notes += [f"{one}: {why.strip().splitlines()[-1]}" for one, why in sections.failed.items()]
    details = {**found, "failed": sections.failed, "attempts": ATTEMPTS}
    columns = ["what", "× real time", "× original", "of the limit", "busy"]
    return Report(columns, rows, goals, notes, details, name=name)
