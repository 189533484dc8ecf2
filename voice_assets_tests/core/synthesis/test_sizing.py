"""How many workers of which kind."""

import pytest

from voice_core.synthesis import EngineSpec, Machine, SynthesisOptions, WorkerPlan, choose_workers

CPU = EngineSpec("hibari", memory_gb=0.5)
GPU = EngineSpec("indextts2", {"device": "cuda:0"}, memory_gb=7)
SAFE = EngineSpec("other", {"device": "cuda"}, memory_gb=7, thread_safe=True)
BIG = Machine(cores=32, memory_gb=256, gpu_memory_gb=80)


def _options(**fields: object) -> SynthesisOptions:
    return SynthesisOptions(**fields)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("cores", "expected"),
    [
        (1, WorkerPlan("serial", 1)),
        (2, WorkerPlan("serial", 1)),
        (3, WorkerPlan("serial", 1)),
        (4, WorkerPlan("process", 2)),
        (14, WorkerPlan("process", 12)),
        (64, WorkerPlan("process", 12)),
    ],
)
def test_a_cpu_gets_a_process_for_each_core_but_two_and_at_most_twelve(cores: int, expected: WorkerPlan) -> None:
    assert choose_workers(CPU, _options(), Machine(cores, memory_gb=256)) == expected


@pytest.mark.parametrize(
    ("cores", "beside", "expected"),
    [
        (2, 2, WorkerPlan("serial", 1)),
        (4, 2, WorkerPlan("process", 2)),
        (16, 8, WorkerPlan("process", 8)),
        (32, 16, WorkerPlan("process", 12)),
        (16, 15, WorkerPlan("serial", 1)),
    ],
)
def test_cores_are_reserved_for_processes_other_than_engines(cores: int, beside: int, expected: WorkerPlan) -> None:
    assert choose_workers(CPU, _options(postprocess_workers=beside), Machine(cores, memory_gb=256)) == expected


def test_memory_is_reserved_for_processes_other_than_engines() -> None:
    assert choose_workers(CPU, _options(), Machine(16, memory_gb=3)) == WorkerPlan("process", 6)
    assert choose_workers(CPU, _options(postprocess_workers=5), Machine(16, memory_gb=3)) == WorkerPlan("process", 3)
    assert choose_workers(GPU, _options(postprocess_workers=5, max_gpu_concurrency=4), BIG) == WorkerPlan("process", 4)


@pytest.mark.parametrize(
    ("memory_gb", "expected"),
    [(1.6, WorkerPlan("process", 3)), (0.9, WorkerPlan("serial", 1)), (0.1, WorkerPlan("serial", 1))],
)
def test_there_are_no_more_engines_than_memory_holds_and_one_at_least(memory_gb: float, expected: WorkerPlan) -> None:
    assert choose_workers(CPU, _options(), Machine(16, memory_gb)) == expected


def test_a_gpu_gets_one_engine_in_a_thread_unless_more_are_allowed() -> None:
    assert choose_workers(GPU, _options(), BIG) == WorkerPlan("thread", 1)
    assert choose_workers(GPU, _options(max_gpu_concurrency=4), BIG) == WorkerPlan("process", 4)
    assert choose_workers(SAFE, _options(max_gpu_concurrency=4), BIG) == WorkerPlan("thread", 4)


def test_the_memory_of_the_gpu_limits_engines_but_not_threads_of_one_engine() -> None:
    t4 = Machine(cores=8, memory_gb=64, gpu_memory_gb=15)
    assert choose_workers(GPU, _options(max_gpu_concurrency=4), t4) == WorkerPlan("process", 2)
    assert choose_workers(GPU, _options(max_gpu_concurrency=4), Machine(8, 64, gpu_memory_gb=9)) == WorkerPlan(
        "thread", 1
    )
    assert choose_workers(SAFE, _options(max_gpu_concurrency=4), t4) == WorkerPlan("thread", 4)
    assert choose_workers(GPU, _options(max_gpu_concurrency=3), Machine(8, 64, None)) == WorkerPlan("process", 3)


def test_requested_numbers_are_used_up_to_the_limit_of_the_gpu() -> None:
    assert choose_workers(CPU, _options(backend="process", workers=5), Machine(2, 1)) == WorkerPlan("process", 5)
    assert choose_workers(CPU, _options(workers=2), Machine(2, 1)) == WorkerPlan("process", 2)
    assert choose_workers(CPU, _options(backend="serial", workers=5), BIG) == WorkerPlan("serial", 1)
    assert choose_workers(CPU, _options(backend="thread", workers=5), BIG) == WorkerPlan("thread", 1)
    assert choose_workers(GPU, _options(backend="process", workers=5), BIG) == WorkerPlan("process", 1)


def test_this_machine_has_cores_and_memory() -> None:
    here = Machine.detect("cpu")
    assert here.cores >= 1
    assert 0 < here.memory_gb < 100_000
    assert here.gpu_memory_gb is None


def test_options_that_make_no_sense_are_refused_by_name() -> None:
    with pytest.raises(ValueError, match="unknown backend 'fork'"):
        _options(backend="fork")
    with pytest.raises(ValueError, match="planner_buffer must be at least 1, and is 0"):
        _options(planner_buffer=0)
