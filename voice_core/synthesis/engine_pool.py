"""Runs of synthesis, over engines that stay loaded from one run to the next."""

import contextlib
import dataclasses
import time
from collections.abc import Generator, Iterable, Iterator
from types import TracebackType

from voice_core.compute import progress
from voice_core.synthesis.process_workers import ProcessWorkers
from voice_core.synthesis.scheduler import Scheduler
from voice_core.synthesis.sizing import Machine, WorkerPlan, choose_workers
from voice_core.synthesis.stats import SynthesisStats
from voice_core.synthesis.thread_workers import (
    SerialWorker,
    TaskQueue,
    TaskResult,
    ThreadWorkers,
    WorkerFailed,
    WorkerReady,
    Workers,
)
from voice_core.synthesis.types import EngineSpec, SpokenGroup, SynthesisFailure, SynthesisOptions, UtteranceGroup


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
                run = _SynthesisRun(iter(groups), self._tasks, workers, options, stats, task, self._ready)
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


@dataclasses.dataclass
class _SynthesisRun:
    """One run: reader → scheduler → workers → complete groups. `ready` has the workers with a loaded engine."""

    source: Iterator[UtteranceGroup]
    tasks: TaskQueue
    workers: Workers
    options: SynthesisOptions
    stats: SynthesisStats
    task: progress.ProgressTask | None
    ready: set[int]
    exhausted: bool = False
    read: int = 0  # utterances
    logged: float = dataclasses.field(default_factory=time.monotonic)

    def results(self) -> Iterator[SpokenGroup]:
        while True:
            try:
                spoken = self._next()
            except Exception:  # an engine or a reader failed: nothing is yielded after it
                raise
            except BaseException:
                self.tasks.close()
                while (spoken := self.tasks.scheduler.next_complete_any_order()) is not None:
                    self.stats.groups += 1
                    yield spoken
                raise
            if spoken is None:
                return
            self.stats.groups += 1
            yield spoken

    def _next(self) -> SpokenGroup | None:
        """The next complete group; None when there are no more."""
        while True:
            self._read()
            spoken = self.tasks.next_complete()
            if spoken is not None or self.tasks.scheduler.is_empty:
                return spoken
            self._handle_event()

    def _read(self) -> None:
        while not self.exhausted and self.tasks.scheduler.has_capacity:
            group = next(self.source, None)
            if group is None:
                self.exhausted = True
            else:
                self.tasks.add(group)
                self.read += len(group.utterances)

    def _handle_event(self) -> None:
        event = self.workers.next_event()
        if isinstance(event, WorkerFailed):
            raise event.error
        if isinstance(event, WorkerReady):
            self.ready.add(event.worker)
            self.stats.ready(event.worker, event.at)
            return
        self._handle_result(event)
        self.note()
        if self.options.log_json and time.monotonic() - self.logged >= self.options.log_every_sec:
            self.logged = time.monotonic()
            self.stats.log()

    def _handle_result(self, task_result: TaskResult) -> None:
        task, result = task_result.task, task_result.result
        task.attempts += 1
        self.stats.engine_sec += task_result.engine_sec
        if isinstance(result, SynthesisFailure):
            self.stats.crashes += result.reason == "crashed"
            if result.reason != "refused" and task.attempts <= self.options.retries:
                self.stats.retries += 1
                self.tasks.requeue(task)
                return
            result = dataclasses.replace(result, attempts=task.attempts)
            self.stats.failures += 1
        else:
            self.stats.add_speech(result)
        self.tasks.record_result(task, result)
        if self.task is not None:
            self.note()
            self.task.advance(note=self.stats.summary)

    def note(self) -> None:
        """Update the statistics from the scheduler."""
        self.stats.waiting, self.stats.voice_switches = (
            self.tasks.scheduler.waiting,
            self.tasks.scheduler.voice_switches,
        )
        self.stats.begun = self.read - self.stats.utterances - self.stats.failures - self.tasks.scheduler.waiting
