"""Engines that stay loaded from one batch to the next."""

import contextlib
import dataclasses
from collections.abc import Generator, Iterable
from types import TracebackType

from voice_core.compute import progress
from voice_core.synthesis.pipeline import Run
from voice_core.synthesis.process_workers import ProcessLanes
from voice_core.synthesis.scheduler import Window
from voice_core.synthesis.sizing import Choice, Machine, choose
from voice_core.synthesis.stats import Stats
from voice_core.synthesis.thread_workers import Board, Lanes, SerialLane, ThreadLanes
from voice_core.synthesis.types import EngineSpec, Group, Spoken, SynthesisOptions
from voice_core.tts import held


class Studio:
    """Speaks batch after batch. Its engines are loaded when something is first said, and stay until it is closed; for
    as long, the GPU that they are on is kept from other processes.

    For one thread, and one `speak` at a time.
    """

    def __init__(self, engine: EngineSpec, options: SynthesisOptions | None = None) -> None:
        self.engine = engine
        self.options = options or SynthesisOptions()
        self._board = Board(Window(self.options.planner_buffer))
        self._open = contextlib.ExitStack()
        self._crew: tuple[Lanes, Choice] | None = None
        self._ready: set[int] = set()

    def __enter__(self) -> "Studio":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the workers, within seconds, and let go of the GPU. What is said after that has new ones."""
        self._crew = None
        self._ready.clear()
        self._open.close()

    def speak(
        self, groups: Iterable[Group], stats: Stats | None = None, options: SynthesisOptions | None = None
    ) -> Generator[Spoken, None, None]:
        """Speak `groups`, which may have no end, and yield each as it is complete; in their order if `options.ordered`.
        `options` are the studio's without others; backend and number of workers are always the studio's.

        `groups` is read on the calling thread, never more than `planner_buffer` ahead of what was yielded. With a
        deterministic engine every backend gives the same samples. An utterance that fails is tried again, and is then a
        `Failure` in its group; no utterance ends the run. `stats` is kept up to date meanwhile.

        Where the loop over it may be left by a break or an exception, close it (`contextlib.closing`): what was begun
        for nobody is given up then, with the engines. Where the program is asked to end (an exception that is no
        `Exception`) while it waits here, groups that are complete but had to wait for their turn are yielded first, in
        order but with gaps, and then the exception is raised.

        Raises EngineUnavailableError where the engine cannot be loaded or is lost, or something else that loading it in
        this process raised; and whatever reading `groups` raises.
        """
        options = options or self.options
        stats = stats if stats is not None else Stats()
        stats.total = options.total
        window = Window(options.planner_buffer, ordered=options.ordered, by_voice=options.group_by_voice)
        shown = progress.track(options.label, options.total, "utterances") if options.total else None
        whole = False
        with shown or contextlib.nullcontext() as task:
            try:
                lanes = self._lanes(stats)
                self._board.begin(window)
                run = Run(iter(groups), self._board, lanes, options, stats, task, self._ready)
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

    def _lanes(self, stats: Stats) -> Lanes:
        if self._crew is None:
            there = self._open.enter_context(held(self.engine.load(), self.options.label))
            engine = dataclasses.replace(self.engine, options={**self.engine.options, **there})
            self._crew = self._opened(engine, choose(engine, self.options, Machine.here(engine.device)))
            self._open.callback(self._crew[0].close)
        lanes, choice = self._crew
        stats.backend, stats.workers = choice.backend, choice.workers
        for worker in self._ready:
            stats.ready(worker)
        return lanes

    def _opened(self, engine: EngineSpec, choice: Choice) -> tuple[Lanes, Choice]:
        self._board = Board(Window(self.options.planner_buffer))
        if choice.backend == "process":
            return ProcessLanes(self._board, engine, choice.workers), choice
        loaded = engine.load()
        if choice.backend == "serial":
            return SerialLane(self._board, loaded), choice
        count = choice.workers if loaded.capabilities.thread_safe else 1
        return ThreadLanes(self._board, loaded, count), Choice("thread", count)


def synthesise(
    groups: Iterable[Group], engine: EngineSpec, options: SynthesisOptions | None = None, stats: Stats | None = None
) -> Generator[Spoken, None, None]:
    """`Studio.speak` in a studio for this alone."""
    with Studio(engine, options) as studio:
        yield from studio.speak(groups, stats)
