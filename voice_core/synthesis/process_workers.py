"""Workers that are processes: an engine each, replaced when they die."""

import contextlib
import fcntl
import multiprocessing
import os
import select
import threading
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from multiprocessing.reduction import ForkingPickler

import numpy as np

from voice_core.compute.worker_signals import handle_signals
from voice_core.synthesis.scheduler import Task
from voice_core.synthesis.thread_workers import JOIN_SEC, Board, Broken, Outcome, Ready, Report, Reports, speak
from voice_core.synthesis.types import EngineSpec, Failure, SynthesisError
from voice_core.tts import Speech
from voice_core.tts.base import EngineBrokenError, EngineUnavailableError

# One is spoken while the next lies in the pipe, so that the engine need not wait for this process.
# (Measured at 20 ms an utterance: 4 % of the time is lost without, 1.2 % with one, no less with two.)
_AHEAD = 2
# What lies in the pipe must fit into any pipe: a worker that writes audio reads no more until that was taken away, and
# this process takes none while it waits for room.
_AHEAD_BYTES = select.PIPE_BUF
# Holds 10 s of speech, the most that Linux gives to everybody: a worker writes it and goes on. (A pipe of the usual
# size costs another 1.3 % there.)
_PIPE_BYTES = 1 << 20
_TERM_SEC = 2.0
_spawn = multiprocessing.get_context("spawn")
# One thread a process: the processes themselves keep the cores busy.
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
_environment = threading.Lock()


class ProcessLanes:
    """A thread here for each process there, which hands it tasks and takes what comes back."""

    def __init__(self, board: Board, engine: EngineSpec, count: int) -> None:
        self._reports = Reports(board)
        self._board = board
        one_thread = engine.device == "cpu" and count > 1
        self._lanes = [
            _Lane(number, board, engine, self._reports, one_thread=one_thread, workers=count) for number in range(count)
        ]
        for lane in self._lanes:
            lane.start()

    def next_report(self) -> Report:
        return self._reports.get()

    def close(self) -> None:
        self._board.close()
        for lane in self._lanes:
            if lane.process is not None:
                lane.process.terminate()  # all of them, before any is waited for
        for lane in self._lanes:
            lane.end()
        deadline = time.monotonic() + JOIN_SEC
        for lane in self._lanes:
            lane.join(max(0.0, deadline - time.monotonic()))


class _Lane(threading.Thread):
    def __init__(
        self,
        number: int,
        board: Board,
        engine: EngineSpec,
        reports: Reports,
        *,
        one_thread: bool,
        workers: int,
    ) -> None:
        super().__init__(name=f"synthesis-{number}", daemon=True)
        self._number, self._board, self._engine, self._reports = number, board, engine, reports
        self._one_thread, self._workers = one_thread, workers
        self._starting = threading.Lock()
        self._outstanding: deque[Task] = deque()
        self._sent = 0  # of the outstanding
        self.process: SpawnProcess | None = None

    def run(self) -> None:
        try:
            # A worker starts with its first task: an engine that is not needed is not loaded.
            while self._begin():
                pipes = self._start()
                if pipes is None:
                    return
                with contextlib.closing(pipes):
                    self._serve(pipes)
                self._bury()
        except BaseException as error:  # noqa: BLE001 - a thread that ends unheard leaves its consumer waiting
            if not self._board.closed:
                self._reports.put(Broken(error))

    def end(self) -> None:
        """From another thread, once the board is closed."""
        with self._starting:
            if self.process is not None:
                _end(self.process)

    def _begin(self) -> Task | None:
        """Take a task: wait for one if there is none outstanding, else only where there is enough for everybody."""
        if self._outstanding:
            task = self._board.take(self._number, wait=False, leave=self._workers - 1)
        else:
            task = self._board.take(self._number)
        if task is not None:
            self._outstanding.append(task)
        return task

    def _start(self) -> "_Pipes | None":
        """A new process, whose engine is loaded; None when it is no longer wanted."""
        ours, theirs = _pipes()
        with self._starting, contextlib.closing(theirs):
            if self._board.closed:
                ours.close()
                return None
            self.process = _spawn.Process(target=_serve, args=(theirs, self._engine), daemon=True)
            with _one_thread() if self._one_thread else contextlib.nullcontext():
                self.process.start()
        try:
            complaint = ours.receiving.recv()
        except (EOFError, OSError):
            self.process.join(_TERM_SEC)
            complaint = f"its worker process ended with {self.process.exitcode} while it loaded"
        if complaint:
            ours.close()
            raise SynthesisError(f"the engine {self._engine.name} cannot be loaded: {complaint}")
        self._reports.put(Ready(self._number))
        return ours

    def _serve(self, pipes: "_Pipes") -> None:
        """Hand over tasks until the process is dead or the board closed."""
        try:
            while True:
                while len(self._outstanding) < _AHEAD and self._begin():
                    pass
                if not self._outstanding:
                    return
                self._send(pipes.sending)
                result, engine_sec = _receive(pipes.receiving)
                self._sent -= 1
                self._reports.put(Outcome(self._outstanding.popleft(), result, engine_sec))
                if isinstance(result, Failure) and result.reason == "crashed":
                    self._sent = 0  # it ends of that, and begins nothing more
                    return
        except (EOFError, OSError):
            return  # dead

    def _send(self, sending: Connection) -> None:
        for task in [*islice(self._outstanding, self._sent, None)]:
            data = ForkingPickler.dumps(task.utterance)
            if self._sent and len(data) + 8 > _AHEAD_BYTES:
                return
            sending.send_bytes(data)
            self._sent += 1

    def _bury(self) -> None:
        """The process is dead: it died of what it was saying; what it had not got or begun is for others."""
        if self._board.closed or self.process is None:
            return
        self.process.join(_TERM_SEC)
        _end(self.process)
        self._board.forget(self._number)
        if self._sent:
            message = f"its worker process ended with {self.process.exitcode} meanwhile"
            self._reports.put(Outcome(self._outstanding.popleft(), Failure("crashed", message)))
        self._sent = 0
        while self._outstanding:
            self._board.give_back(self._outstanding.pop())


@dataclass(frozen=True, slots=True)
class _Pipes:
    """One side's ends of the two pipes between a worker and whoever started it."""

    receiving: Connection
    sending: Connection

    def close(self) -> None:
        self.receiving.close()
        self.sending.close()


def _pipes() -> tuple[_Pipes, _Pipes]:
    """Ours and theirs."""
    tasks, to_do = _spawn.Pipe(duplex=False)
    results, done = _spawn.Pipe(duplex=False)
    with contextlib.suppress(OSError, AttributeError):  # not on Linux, or the user has too many already
        fcntl.fcntl(done.fileno(), fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
    return _Pipes(results, to_do), _Pipes(tasks, done)


def _end(process: SpawnProcess) -> None:
    process.terminate()
    process.join(_TERM_SEC)
    if process.is_alive():
        process.kill()
        process.join(_TERM_SEC)


@contextlib.contextmanager
def _one_thread() -> Iterator[None]:
    """For processes started meanwhile, unless the user has said otherwise."""
    with _environment:
        names = [name for name in _THREADS if name not in os.environ]
        os.environ.update(dict.fromkeys(names, "1"))
        try:
            yield
        finally:
            for name in names:
                os.environ.pop(name, None)


def _receive(connection: Connection) -> tuple[Speech | Failure, float]:
    """Audio travels as bytes beside its header: no pickle of it is made or read."""
    header = connection.recv()
    if isinstance(header, str):
        raise SynthesisError(header)
    if isinstance(header[0], Failure):
        return header
    samples, rate_hz, engine, revision, wall_sec, engine_sec = header
    audio = np.empty(samples, np.float32)
    if samples:
        connection.recv_bytes_into(audio)
    return Speech(audio, rate_hz, engine, revision, wall_sec), engine_sec


def _serve(pipes: _Pipes, spec: EngineSpec) -> None:
    """The process: loads its engine, says what it is sent, ends with its pipe. Whoever started it, stops it."""
    handle_signals()
    answer = pipes.sending
    try:
        engine = spec.load()
    except Exception as error:  # noqa: BLE001 - told to whoever started it
        answer.send(f"{type(error).__name__}: {error}")
        return
    answer.send("")
    with contextlib.suppress(EOFError, OSError):
        while True:
            try:
                result, engine_sec = speak(engine, pipes.receiving.recv())
            except EngineBrokenError as error:
                answer.send((Failure("crashed", str(error)), 0.0))
                return
            except EngineUnavailableError as error:
                answer.send(str(error))
                return
            if isinstance(result, Failure):
                answer.send((result, engine_sec))
                continue
            audio = np.ascontiguousarray(result.audio)
            answer.send(
                (len(audio), result.sample_rate_hz, result.engine, result.revision, result.wall_sec, engine_sec)
            )
            if len(audio):
                answer.send_bytes(audio.data)
