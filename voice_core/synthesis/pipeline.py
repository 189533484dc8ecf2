"""Reader → planner → workers → assembler."""

import dataclasses
import time
from collections.abc import Iterator

from voice_core.compute import progress
from voice_core.synthesis.stats import Stats
from voice_core.synthesis.thread_workers import Board, Broken, Lanes, Outcome, Ready
from voice_core.synthesis.types import Failure, Group, Spoken, SynthesisOptions


@dataclasses.dataclass
class Run:
    """One batch over workers that are there. `ready` is who of them has loaded its engine."""

    source: Iterator[Group]
    board: Board
    lanes: Lanes
    options: SynthesisOptions
    stats: Stats
    task: progress.Task | None
    ready: set[int]
    exhausted: bool = False
    read: int = 0  # utterances
    logged: float = dataclasses.field(default_factory=time.monotonic)

    def results(self) -> Iterator[Spoken]:
        while True:
            try:
                spoken = self._next()
            except Exception:  # an engine or a reader that failed: nothing is handed over after it
                raise
            except BaseException:
                self.board.close()
                while (spoken := self.board.window.drained()) is not None:
                    self.stats.groups += 1
                    yield spoken
                raise
            if spoken is None:
                return
            self.stats.groups += 1
            yield spoken

    def _next(self) -> Spoken | None:
        """The next complete group; None when there are no more."""
        while True:
            self._read()
            spoken = self.board.next_complete()
            if spoken is not None or self.board.window.is_empty:
                return spoken
            self._hear()

    def _read(self) -> None:
        while not self.exhausted and self.board.window.has_room:
            group = next(self.source, None)
            if group is None:
                self.exhausted = True
            else:
                self.board.add(group)
                self.read += len(group.utterances)

    def _hear(self) -> None:
        report = self.lanes.next_report()
        if isinstance(report, Broken):
            raise report.error
        if isinstance(report, Ready):
            self.ready.add(report.worker)
            self.stats.ready(report.worker, report.at)
            return
        self._settle(report)
        self.note()
        if self.options.log_json and time.monotonic() - self.logged >= self.options.log_every_sec:
            self.logged = time.monotonic()
            self.stats.log()

    def _settle(self, outcome: Outcome) -> None:
        task, result = outcome.task, outcome.result
        task.attempts += 1
        self.stats.engine_sec += outcome.engine_sec
        if isinstance(result, Failure):
            self.stats.crashes += result.reason == "crashed"
            if result.reason != "refused" and task.attempts <= self.options.retries:
                self.stats.retries += 1
                self.board.give_back(task)
                return
            result = dataclasses.replace(result, attempts=task.attempts)
            self.stats.failures += 1
        else:
            self.stats.count(result)
        self.board.settle(task, result)
        if self.task is not None:
            self.note()
            self.task.advance(note=self.stats.told)

    def note(self) -> None:
        """What the window knows."""
        self.stats.waiting, self.stats.voice_switches = self.board.window.waiting, self.board.window.switches
        self.stats.begun = self.read - self.stats.utterances - self.stats.failures - self.board.window.waiting
