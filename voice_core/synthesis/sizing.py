"""The number and kind of workers, decided from the engine and the machine before anything is loaded."""

import re
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import loky
import psutil

from voice_core.synthesis.types import EngineSpec, SynthesisOptions

SPARE_CORES = 2
"""For reading, assembling and writing, and for the user's other work."""
MAX_WORKERS = 12
POSTPROCESS_GB = 0.3
"""Memory of a process that aligns and mixes: pocketsphinx's model and a dialogue."""


@dataclass(frozen=True, slots=True)
class Machine:
    """Free resources. `gpu_memory_gb` is the free memory of the engine's GPU, None where it is unknown."""

    cores: int  # physical ones that this process may use
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

    On a CPU: one process for each physical core but two, at most 12, and no more than fit into memory; a single one is
    serial. Where processes postprocess the speech, engines get the remaining cores and memory. (Speaking and finishing
    take 8 and 11 ms of CPU for a second of hibari's speech, with words from pocketsphinx.) With half of the cores for
    postprocessing, 16 cores have 8 engines and 4 have 2. On 2 cores, one engine in this process and two processes
    beside it keep both busy; another engine would only wait.

    On a GPU: one engine in a thread, or as many as `max_gpu_concurrency` and the GPU's memory allow, as threads of one
    engine where it is thread-safe and as processes otherwise.

    Explicit numbers are used as they are, except that a GPU's limit holds and an engine that is not thread-safe gets
    one thread.

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
    """Physical cores that this process may use, by its affinity and its container's CPU quota."""
    return int(loky.cpu_count(only_physical_cores=True))


def free_memory_gb() -> float:
    """Memory available to new programs, within the limit of the container (cgroup v2), which psutil does not read."""
    free = psutil.virtual_memory().available
    limit, used = _text("/sys/fs/cgroup/memory.max"), _text("/sys/fs/cgroup/memory.current")
    if limit.isdigit() and used.isdigit():
        free = min(free, int(limit) - int(used))
    return max(0, free) / 1e9


def free_gpu_memory_gb(device: str) -> float | None:
    """Free memory of this GPU ("cuda", "cuda:1") by nvidia-smi; None without it."""
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
