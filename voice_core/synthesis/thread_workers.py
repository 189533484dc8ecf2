"""Workers within this process: the one that asks, or threads, and what they share with those of other processes."""

import threading
import time
from collections.abc import Hashable
from dataclasses import dataclass, field
from queue import SimpleQueue
from typing import Protocol

import numpy as np

from voice_core.synthesis.scheduler import Task, Window
from voice_core.synthesis.types import Failure, Group, Spoken
from voice_core.tts import Speech, SpeechEngine, Utterance
from voice_core.tts.base import EngineUnavailableError

JOIN_SEC = 5.0
MOST_UNHEARD = 64
"""Of half a minute each they take 200 MB."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a task. A failure here may be tried again."""

    task: Task
    result: Speech | Failure
    engine_sec: float = 0.0


@dataclass(frozen=True, slots=True)
class Ready:
    """The engine of this worker is loaded, since `at`: whoever asks may hear of it when it has spoken already."""

    worker: int
    at: float = field(default_factory=time.monotonic)


@dataclass(frozen=True, slots=True)
class Broken:
    """A worker cannot go on, nor can anybody else."""

    error: BaseException


Report = Outcome | Ready | Broken


class Board:
    """The window, shared by the threads of this process. Engines say nothing more while `MOST_UNHEARD` utterances that
    they have said wait for whoever asked."""

    def __init__(self, window: Window) -> None:
        self.window = window
        self._changed = threading.Condition()
        self._unheard = 0
        self.closed = False

    def begin(self, window: Window) -> None:
        """Go on with another window, when nothing is left of this. Engines keep their voices."""
        with self._changed:
            window.voices.update(self.window.voices)
            self.window = window

    def add(self, group: Group) -> None:
        with self._changed:
            self.window.add(group)
            self._changed.notify(len(group.utterances))

    def take(self, engine: Hashable, *, wait: bool = True, leave: int = 0) -> Task | None:
        """The next task, if others are left `leave` of them; None when there is none and `wait` is not, or when the
        board is closed."""
        with self._changed:
            while not self.closed:
                free = self.window.waiting > leave and self._unheard < MOST_UNHEARD
                task = self.window.take(engine) if free else None
                if task is not None or not wait:
                    return task
                self._changed.wait()
            return None

    def give_back(self, task: Task) -> None:
        with self._changed:
            self.window.give_back(task)
            self._changed.notify()

    def forget(self, engine: Hashable) -> None:
        with self._changed:
            self.window.forget(engine)

    def settle(self, task: Task, result: Speech | Failure) -> None:
        with self._changed:
            self.window.settle(task, result)

    def next_complete(self) -> Spoken | None:
        with self._changed:
            return self.window.next_complete()

    def said(self) -> None:
        with self._changed:
            self._unheard += 1

    def heard(self) -> None:
        with self._changed:
            self._unheard -= 1
            if self._unheard == MOST_UNHEARD - 1:
                self._changed.notify_all()

    def close(self) -> None:
        """Nobody gets a task any more."""
        with self._changed:
            self.closed = True
            self._changed.notify_all()


class Reports:
    """What workers have to tell, in the order in which they tell it."""

    def __init__(self, board: Board) -> None:
        self._board = board
        self._queue: SimpleQueue[Report] = SimpleQueue()

    def put(self, report: Report) -> None:
        if isinstance(report, Outcome):
            self._board.said()
        self._queue.put(report)

    def get(self) -> Report:
        report = self._queue.get()
        if isinstance(report, Outcome):
            self._board.heard()
        return report


class Lanes(Protocol):
    """Workers."""

    def next_report(self) -> Report:
        """Waits for one. To be called only while a task is waiting or begun."""
        ...

    def close(self) -> None:
        """End the workers, within seconds, whatever they are doing."""
        ...


def speak(engine: SpeechEngine, utterance: Utterance) -> tuple[Speech | Failure, float]:
    """Speech or why not, and the seconds that it took. Of Exceptions it raises EngineUnavailableError alone."""
    began = time.perf_counter()
    try:
        speech = engine.speak(utterance)
        if not isinstance(speech, Speech):
            raise TypeError(f"the engine answered {speech!r:.80} instead of speech")
        if speech.audio.dtype != np.float32 or speech.audio.ndim != 1:
            raise TypeError(f"audio must be float32 [samples], and is {speech.audio.dtype} {speech.audio.shape}")
    except EngineUnavailableError:  # of many, the weights load with the first utterance; no other will fare better
        raise
    except ValueError as error:
        return Failure("refused", str(error)), time.perf_counter() - began
    except Exception as error:  # noqa: BLE001 - whatever an engine raises costs one utterance, not the run
        return Failure("failed", f"{type(error).__name__}: {error}"), time.perf_counter() - began
    return speech, time.perf_counter() - began


class SerialLane:
    """The engine speaks on the thread that asks for the result."""

    def __init__(self, board: Board, engine: SpeechEngine) -> None:
        self._board, self._engine = board, engine
        self._greeted = False

    def next_report(self) -> Report:
        if not self._greeted:
            self._greeted = True
            return Ready(0)
        task = self._board.take(0, wait=False)
        if task is None:
            raise AssertionError("asked for a result when nothing is to be said")
        return Outcome(task, *speak(self._engine, task.utterance))

    def close(self) -> None:
        self._board.close()


class ThreadLanes:
    """Threads that share one engine: as many as may use it, and its GPU, at once."""

    def __init__(self, board: Board, engine: SpeechEngine, count: int) -> None:
        self._board, self._engine = board, engine
        self._reports = Reports(board)
        # Daemons: an engine cannot be interrupted, and must not keep a program from ending.
        self._threads = [
            threading.Thread(target=self._work, args=(number,), name=f"synthesis-{number}", daemon=True)
            for number in range(count)
        ]
        for thread in self._threads:
            thread.start()

    def _work(self, number: int) -> None:
        try:
            self._reports.put(Ready(number))
            while (task := self._board.take("shared")) is not None:
                self._reports.put(Outcome(task, *speak(self._engine, task.utterance)))
        except BaseException as error:  # noqa: BLE001 - a thread that ends unheard leaves its consumer waiting
            self._reports.put(Broken(error))

    def next_report(self) -> Report:
        return self._reports.get()

    def close(self) -> None:
        self._board.close()
        deadline = time.monotonic() + JOIN_SEC
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))
