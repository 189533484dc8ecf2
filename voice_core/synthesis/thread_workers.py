"""Workers within this process, serial or threads, and what all kinds of workers share."""

import threading
import time
from collections.abc import Hashable
from dataclasses import dataclass, field
from queue import SimpleQueue
from typing import Protocol

import numpy as np

from voice_core.synthesis.scheduler import Scheduler, UtteranceTask
from voice_core.synthesis.types import SpokenGroup, SynthesisFailure, UtteranceGroup
from voice_core.tts import Speech, SpeechEngine, Utterance
from voice_core.tts.base import EngineUnavailableError

JOIN_SEC = 5.0
MAX_UNREAD_RESULTS = 64
"""200 MB at half a minute each."""


@dataclass(frozen=True, slots=True)
class TaskResult:
    """The result of a task. A failure may be tried again."""

    task: UtteranceTask
    result: Speech | SynthesisFailure
    engine_sec: float = 0.0


@dataclass(frozen=True, slots=True)
class WorkerReady:
    """The engine of this worker is loaded since `at`. The event may be read when it has already spoken."""

    worker: int
    at: float = field(default_factory=time.monotonic)


@dataclass(frozen=True, slots=True)
class WorkerFailed:
    """A worker cannot continue, nor can the others."""

    error: BaseException


WorkerEvent = TaskResult | WorkerReady | WorkerFailed


class TaskQueue:
    """The scheduler, shared by the threads of this process. Engines get no tasks while `MAX_UNREAD_RESULTS` results
    wait for the consumer."""

    def __init__(self, scheduler: Scheduler) -> None:
        self.scheduler = scheduler
        self._changed = threading.Condition()
        self._unread_results = 0
        self.closed = False

    def use_scheduler(self, scheduler: Scheduler) -> None:
        """Continue with another scheduler, once this one is empty. Engines keep their voices."""
        with self._changed:
            scheduler.voices.update(self.scheduler.voices)
            self.scheduler = scheduler

    def add(self, group: UtteranceGroup) -> None:
        with self._changed:
            self.scheduler.add(group)
            self._changed.notify(len(group.utterances))

    def take(self, engine: Hashable, *, wait: bool = True, leave: int = 0) -> UtteranceTask | None:
        """The next task, if `leave` tasks remain for others; None when there is none and `wait` is false, or when the
        queue is closed."""
        with self._changed:
            while not self.closed:
                free = self.scheduler.waiting > leave and self._unread_results < MAX_UNREAD_RESULTS
                task = self.scheduler.take(engine) if free else None
                if task is not None or not wait:
                    return task
                self._changed.wait()
            return None

    def requeue(self, task: UtteranceTask) -> None:
        with self._changed:
            self.scheduler.requeue(task)
            self._changed.notify()

    def forget_engine(self, engine: Hashable) -> None:
        with self._changed:
            self.scheduler.forget_engine(engine)

    def record_result(self, task: UtteranceTask, result: Speech | SynthesisFailure) -> None:
        with self._changed:
            self.scheduler.record_result(task, result)

    def next_complete(self) -> SpokenGroup | None:
        with self._changed:
            return self.scheduler.next_complete()

    def result_added(self) -> None:
        with self._changed:
            self._unread_results += 1

    def result_read(self) -> None:
        with self._changed:
            self._unread_results -= 1
            if self._unread_results == MAX_UNREAD_RESULTS - 1:
                self._changed.notify_all()

    def close(self) -> None:
        """Give out no more tasks."""
        with self._changed:
            self.closed = True
            self._changed.notify_all()


class EventQueue:
    """Events of workers, in their order."""

    def __init__(self, tasks: TaskQueue) -> None:
        self._tasks = tasks
        self._queue: SimpleQueue[WorkerEvent] = SimpleQueue()

    def put(self, report: WorkerEvent) -> None:
        if isinstance(report, TaskResult):
            self._tasks.result_added()
        self._queue.put(report)

    def get(self) -> WorkerEvent:
        report = self._queue.get()
        if isinstance(report, TaskResult):
            self._tasks.result_read()
        return report


class Workers(Protocol):
    """Engines that take tasks from a `TaskQueue`."""

    def next_event(self) -> WorkerEvent:
        """Wait for an event. Call it only while a task is waiting or begun."""
        ...

    def close(self) -> None:
        """End the workers within seconds, whatever they are doing."""
        ...


def speak_utterance(engine: SpeechEngine, utterance: Utterance) -> tuple[Speech | SynthesisFailure, float]:
    """The speech or a failure, and the seconds that it took. Raises EngineUnavailableError only."""
    began = time.perf_counter()
    try:
        speech = engine.speak(utterance)
        if not isinstance(speech, Speech):
            raise TypeError(f"the engine returned {speech!r:.80} instead of speech")
        if speech.audio.dtype != np.float32 or speech.audio.ndim != 1:
            raise TypeError(f"audio must be float32 [samples], not {speech.audio.dtype} {speech.audio.shape}")
    except EngineUnavailableError:  # many engines load with the first utterance; the others would fail as well
        raise
    except ValueError as error:
        return SynthesisFailure("refused", str(error)), time.perf_counter() - began
    except Exception as error:  # noqa: BLE001 - an engine's error fails one utterance, not the run
        return SynthesisFailure("failed", f"{type(error).__name__}: {error}"), time.perf_counter() - began
    return speech, time.perf_counter() - began


class SerialWorker:
    """The engine speaks on the calling thread."""

    def __init__(self, tasks: TaskQueue, engine: SpeechEngine) -> None:
        self._tasks, self._engine = tasks, engine
        self._reported_ready = False

    def next_event(self) -> WorkerEvent:
        if not self._reported_ready:
            self._reported_ready = True
            return WorkerReady(0)
        task = self._tasks.take(0, wait=False)
        if task is None:
            raise AssertionError("next_event was called when no task is waiting")
        return TaskResult(task, *speak_utterance(self._engine, task.utterance))

    def close(self) -> None:
        self._tasks.close()


class ThreadWorkers:
    """Threads that share one engine."""

    def __init__(self, tasks: TaskQueue, engine: SpeechEngine, count: int) -> None:
        self._tasks, self._engine = tasks, engine
        self._events = EventQueue(tasks)
        # Daemons: an engine cannot be interrupted, and must not keep the program from ending.
        self._threads = [
            threading.Thread(target=self._work, args=(number,), name=f"synthesis-{number}", daemon=True)
            for number in range(count)
        ]
        for thread in self._threads:
            thread.start()

    def _work(self, number: int) -> None:
        try:
            self._events.put(WorkerReady(number))
            while (task := self._tasks.take("shared")) is not None:
                self._events.put(TaskResult(task, *speak_utterance(self._engine, task.utterance)))
        except BaseException as error:  # noqa: BLE001 - without an event the consumer would wait forever
            self._events.put(WorkerFailed(error))

    def next_event(self) -> WorkerEvent:
        return self._events.get()

    def close(self) -> None:
        self._tasks.close()
        deadline = time.monotonic() + JOIN_SEC
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))
