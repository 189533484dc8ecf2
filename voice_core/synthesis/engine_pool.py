"""Engines that stay loaded from one run to the next."""

import contextlib
import dataclasses
from collections.abc import Generator, Iterable
from types import TracebackType

from voice_core.compute import progress
from voice_core.synthesis.pipeline import SynthesisRun
from voice_core.synthesis.process_workers import ProcessWorkers
from voice_core.synthesis.scheduler import Scheduler
from voice_core.synthesis.sizing import Machine, WorkerPlan, choose_workers
from voice_core.synthesis.stats import SynthesisStats
from voice_core.synthesis.thread_workers import SerialWorker, TaskQueue, ThreadWorkers, Workers
from voice_core.synthesis.types import EngineSpec, SpokenGroup, SynthesisOptions, UtteranceGroup


class EnginePool:
    """Speaks one run after another. Engines are loaded with the first utterance and stay loaded until the pool is
    closed; during that time their GPU is reserved.

    For use by one thread, one `synthesise` at a time.
    """

    def __init__(self, engine: EngineSpec, options: SynthesisOptions | None = None) -> None:
        self.engine = engine
        self.options = options or SynthesisOptions()
        self._tasks = TaskQueue(Scheduler(self.options.planner_buffer))
        self._exit_stack = contextlib.ExitStack()
        self._running: tuple[Workers, WorkerPlan] | None = None
        self._ready: set[int] = set()

    def __enter__(self) -> "EnginePool":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the workers within seconds and release the GPU. The next run starts new ones."""
        self._running = None
        self._ready.clear()
        self._exit_stack.close()

    def synthesise(
        self,
        groups: Iterable[UtteranceGroup],
        stats: SynthesisStats | None = None,
        options: SynthesisOptions | None = None,
    ) -> Generator[SpokenGroup, None, None]:
        """Speak `groups`, which may be endless, and yield each when it is complete; in order if `options.ordered`.

        `options` defaults to the pool's; backend and number of workers are always the pool's. `groups` is read on the
        calling thread, never more than `planner_buffer` ahead of what was yielded. With a deterministic engine every
        backend gives the same samples. An utterance that fails is tried again, and then becomes a `SynthesisFailure`
        in its group; it does not end the run. `stats` is kept up to date.

        Where the loop over the result may be left by a break or an exception, close it (`contextlib.closing`): work
        that was begun is then abandoned, and the engines end. Where the process is asked to end (a BaseException that
        is not an Exception) while it waits here, complete groups that wait for earlier ones are yielded first, in order
        but with gaps, and then the exception is raised.

        Raises EngineUnavailableError where the engine cannot be loaded or is lost, any other error of loading it in
        this process, and whatever reading `groups` raises.
        """
        options = options or self.options
        stats = stats if stats is not None else SynthesisStats()
        stats.total = options.total
        scheduler = Scheduler(options.planner_buffer, ordered=options.ordered, by_voice=options.group_by_voice)
        shown = progress.track(options.label, options.total, "utterances") if options.total else None
        whole = False
        with shown or contextlib.nullcontext() as task:
            try:
                workers = self._get_workers(stats)
                self._tasks.use_scheduler(scheduler)
                run = SynthesisRun(iter(groups), self._tasks, workers, options, stats, task, self._ready)
                try:
                    yield from run.results()
                    whole = True
                finally:
                    stats.end()
                    run.note()
                    if options.log_json:
                        stats.log()
            finally:
                if not whole:
                    self.close()

    def _get_workers(self, stats: SynthesisStats) -> Workers:
        if self._running is None:
            there = self._exit_stack.enter_context(self.engine.load().held(self.options.label))
            engine = dataclasses.replace(self.engine, options={**self.engine.options, **there})
            self._running = self._start_workers(
                engine, choose_workers(engine, self.options, Machine.detect(engine.device))
            )
            self._exit_stack.callback(self._running[0].close)
        workers, choice = self._running
        stats.backend, stats.workers = choice.backend, choice.workers
        for worker in self._ready:
            stats.ready(worker)
        return workers

    def _start_workers(self, engine: EngineSpec, choice: WorkerPlan) -> tuple[Workers, WorkerPlan]:
        self._tasks = TaskQueue(Scheduler(self.options.planner_buffer))
        if choice.backend == "process":
            return ProcessWorkers(self._tasks, engine, choice.workers), choice
        loaded = engine.load()
        if choice.backend == "serial":
            return SerialWorker(self._tasks, loaded), choice
        count = choice.workers if loaded.capabilities.thread_safe else 1
        return ThreadWorkers(self._tasks, loaded, count), WorkerPlan("thread", count)


def synthesise(
    groups: Iterable[UtteranceGroup],
    engine: EngineSpec,
    options: SynthesisOptions | None = None,
    stats: SynthesisStats | None = None,
) -> Generator[SpokenGroup, None, None]:
    """`EnginePool.synthesise` with a pool for this run alone."""
    with EnginePool(engine, options) as pool:
        yield from pool.synthesise(groups, stats)
