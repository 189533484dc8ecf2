"""How many workers of which kind: decided from what engine and machine are, before anything is loaded."""

import os
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from voice_core.compute.workers import core_count
from voice_core.synthesis.types import EngineSpec, SynthesisOptions

SPARE_CORES = 2
"""For reading, assembling and writing, and for the person at the machine."""
MAX_WORKERS = 12
POSTPROCESS_GB = 0.3
"""What a process takes that aligns and mixes: pocketsphinx's model, and a dialogue."""


@dataclass(frozen=True, slots=True)
class Machine:
    """What there is to use. `gpu_memory_gb` is what is free of the engine's GPU, None where nobody knows."""

    cores: int  # physical, that this process may run on
    memory_gb: float  # free for new programs
    gpu_memory_gb: float | None = None

    @classmethod
    def detect(cls, device: str) -> "Machine":
        return cls(physical_cores(), free_memory_gb(), None if device == "cpu" else free_gpu_memory_gb(device))


@dataclass(frozen=True, slots=True)
class WorkerPlan:
    backend: Literal["serial", "thread", "process"]
    workers: int


def choose_workers(engine: EngineSpec, options: SynthesisOptions, machine: Machine) -> WorkerPlan:
    """The backend and the number of workers, where the options leave them open.

    On a CPU a process for each physical core but two, at most 12, and no more than memory holds; one alone is serial.
    Where processes work beside the engines, these get the cores that are left, and the memory: speaking and finishing
    (measured: 8 and 11 ms of CPU for a second of hibari's speech, words from pocketsphinx) share what there is. With
    half of the cores beside, 16 cores have 8 engines, 4 have 2. On 2 cores an engine in this process and two processes
    beside it keep both busy: this one waits whenever the two are behind, and another engine would only wait with it.
    On a GPU one engine in a thread beside the program's own work, or as many as `max_gpu_concurrency` and the GPU's
    memory allow: threads of one engine where it is thread-safe, else processes. Numbers that are asked for are taken,
    but for that limit of the GPU's, and several threads of an engine that allows only one.

    >>> choose_workers(EngineSpec("hibari"), SynthesisOptions(), Machine(cores=8, memory_gb=30))
    WorkerPlan(backend='process', workers=6)
    """
    on_gpu = engine.device != "cpu"
    memory_gb = machine.gpu_memory_gb if on_gpu else machine.memory_gb - POSTPROCESS_GB * options.postprocess_workers
    spare = max(SPARE_CORES, options.postprocess_workers)
    most = options.max_gpu_concurrency if on_gpu else min(machine.cores - spare, MAX_WORKERS)
    # Threads share one engine, which takes its memory once.
    shares = options.backend == "thread" or (on_gpu and engine.thread_safe and options.backend == "auto")
    if memory_gb is not None and engine.memory_gb > 0 and not shares:
        most = min(most, int(memory_gb / engine.memory_gb))
    count = options.workers or max(1, most)
    if on_gpu:
        count = min(count, options.max_gpu_concurrency)
    if options.backend == "serial":
        return WorkerPlan("serial", 1)
    if options.backend == "thread":
        return WorkerPlan("thread", count if engine.thread_safe else 1)
    if options.backend == "process":
        return WorkerPlan("process", count)
    if on_gpu:
        return WorkerPlan("thread", count) if count == 1 or engine.thread_safe else WorkerPlan("process", count)
    return WorkerPlan("serial", 1) if count == 1 else WorkerPlan("process", count)


def physical_cores() -> int:
    """Cores this process may run on, hyperthreads of one core counted once."""
    cpus = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else range(core_count())
    found = {_text(f"/sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list") or f"{cpu}" for cpu in cpus}
    return max(1, len(found))


def free_memory_gb() -> float:
    """Memory that new programs may take, within the limit of the container (cgroup v2) if there is one."""
    found = re.search(r"MemAvailable:\s+(\d+) kB", _text("/proc/meminfo"))
    free = int(found[1]) * 1024 if found else os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    limit, used = _text("/sys/fs/cgroup/memory.max"), _text("/sys/fs/cgroup/memory.current")
    if limit.isdigit() and used.isdigit():
        free = min(free, int(limit) - int(used))
    return max(0, free) / 1e9


def free_gpu_memory_gb(device: str) -> float | None:
    """What nvidia-smi says is free of this GPU ("cuda", "cuda:1"); None without it."""
    found = re.fullmatch(r"cuda(?::(\d+))?", device)
    if not found:
        return None
    command = ["nvidia-smi", f"--id={found[1] or 0}", "--query-gpu=memory.free", "--format=csv,noheader,nounits"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=True)
        return int(done.stdout.split()[0]) * 2**20 / 1e9
    except (OSError, subprocess.SubprocessError, ValueError, IndexError):
        return None


def _text(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8").strip()
    except OSError:
        return ""
