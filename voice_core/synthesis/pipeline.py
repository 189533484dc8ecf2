"""One run of synthesis: reader → scheduler → workers → complete groups."""

import dataclasses
import time
from collections.abc import Iterator

from voice_core.compute import progress
from voice_core.synthesis.stats import SynthesisStats
from voice_core.synthesis.thread_workers import TaskQueue, TaskResult, WorkerFailed, WorkerReady, Workers
from voice_core.synthesis.types import SpokenGroup, SynthesisFailure, SynthesisOptions, UtteranceGroup


@dataclasses.dataclass
class SynthesisRun:
    """One run over existing workers. `ready` has the workers that have loaded their engine."""

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
