"""Reader → planner → workers → assembler."""

import contextlib
import dataclasses
import time
from collections.abc import Generator, Iterable, Iterator

from voice_core import progress
from voice_core.synthesis.choice import Choice, Machine, choose
from voice_core.synthesis.lanes import Board, Broken, Lanes, Outcome, Ready, SerialLane, ThreadLanes
from voice_core.synthesis.nouns import EngineSpec, Failure, Group, Spoken, SynthesisOptions
from voice_core.synthesis.process_lanes import ProcessLanes
from voice_core.synthesis.stats import Stats
from voice_core.synthesis.window import Window


def synthesise(
    groups: Iterable[Group], engine: EngineSpec, options: SynthesisOptions | None = None, stats: Stats | None = None
) -> Generator[Spoken, None, None]:
    """Speak `groups`, which may have no end, and yield each as it is complete; in their order if `options.ordered`.

    `groups` is read on the calling thread, never more than `planner_buffer` ahead of what was yielded. With a
    deterministic engine every backend gives the same samples. An utterance that fails is tried again, and is then a
    `Failure` in its group; no utterance ends the run. `stats` is kept up to date meanwhile.

    The workers end when the iterator is exhausted, fails, or is closed: close it (`contextlib.closing`) where the loop
    over it may be left by a break or an exception. Where the program is asked to end
    (an exception that is no `Exception`) while it waits here, groups that are complete but had to wait for their turn
    are yielded first, in order but with gaps, and then the exception is raised.

    Raises EngineUnavailableError where the engine cannot be loaded, or something else that loading it in this process
    raised; and whatever reading `groups` raises.
    """
    options = options or SynthesisOptions()
    choice = choose(engine, options, Machine.here(engine.device))
    return _run(groups, engine, options, choice, stats if stats is not None else Stats())


def _run(
    groups: Iterable[Group], engine: EngineSpec, options: SynthesisOptions, choice: Choice, stats: Stats
) -> Generator[Spoken, None, None]:
    window = Window(options.planner_buffer, ordered=options.ordered, by_voice=options.group_by_voice)
    board = Board(window)
    stats.backend, stats.workers, stats.total = choice.backend, choice.workers, options.total
    shown = progress.track(options.label, options.total, "utterances") if options.total else None
    with shown or contextlib.nullcontext() as task, _opened(board, engine, choice, stats) as lanes:
        run = _Run(iter(groups), window, board, lanes, options, stats, task)
        try:
            yield from run.results()
        finally:
            stats.end()
            run.note()
            if options.log_json:
                stats.log()


@contextlib.contextmanager
def _opened(board: Board, engine: EngineSpec, choice: Choice, stats: Stats) -> Iterator[Lanes]:
    lanes: Lanes
    if choice.backend == "process":
        lanes = ProcessLanes(board, engine, choice.workers)
    else:
        loaded = engine.load()
        if choice.backend == "serial":
            lanes = SerialLane(board, loaded)
        else:
            count = choice.workers if loaded.capabilities.thread_safe else 1
            lanes = ThreadLanes(board, loaded, count)
            stats.workers = count
    try:
        yield lanes
    finally:
        lanes.close()


@dataclasses.dataclass
class _Run:
    source: Iterator[Group]
    window: Window
    board: Board
    lanes: Lanes
    options: SynthesisOptions
    stats: Stats
    task: progress.Task | None
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
                while (spoken := self.window.drained()) is not None:
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
            if spoken is not None or self.window.is_empty:
                return spoken
            self._hear()

    def _read(self) -> None:
        while not self.exhausted and self.window.has_room:
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
            self.stats.ready(report.worker)
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
            self.task.advance()

    def note(self) -> None:
        """What the window knows."""
        self.stats.waiting, self.stats.voice_switches = self.window.waiting, self.window.switches
        self.stats.begun = self.read - self.stats.utterances - self.stats.failures - self.window.waiting
