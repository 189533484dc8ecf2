"""Workers that are processes, with an engine each. A worker that crashes is replaced.

Home-made, since the pools of libraries lose the whole pool, or do not say which task was at work, when a process dies:
here an utterance that crashes its engine fails alone. Results are written straight into pipes, without pickling audio.
"""

import contextlib
import fcntl
import os
import select
import signal
import threading
import time
from collections import deque
from dataclasses import dataclass
from itertools import islice
from multiprocessing.connection import Connection
from multiprocessing.reduction import ForkingPickler

import numpy as np
from loky.backend import get_context
from loky.backend.process import LokyProcess

from voice_core.compute.worker_signals import install_signal_handlers
from voice_core.synthesis.scheduler import UtteranceTask
from voice_core.synthesis.thread_workers import (
    JOIN_SEC,
    EventQueue,
    TaskQueue,
    TaskResult,
    WorkerEvent,
    WorkerFailed,
    WorkerReady,
    speak_utterance,
)
from voice_core.synthesis.types import EngineSpec, SynthesisError, SynthesisFailure
from voice_core.tts import Speech
from voice_core.tts.base import EngineBrokenError, EngineUnavailableError

# One is spoken while the next waits in the pipe, so that the engine need not wait for this process.
# (Measured at 20 ms per utterance: 4 % of the time is lost without, 1.2 % with one, no less with two.)
_PREFETCH_TASKS = 2
# Prefetched tasks must fit into any pipe: a worker that writes audio does not read until the audio is taken, and this
# process takes none while it waits for room in the pipe.
_PREFETCH_BYTES = select.PIPE_BUF
# Holds 10 s of speech, the most that Linux allows every user: a worker writes it and continues. (A pipe of the default
# size costs another 1.3 % of the time.)
_PIPE_BYTES = 1 << 20
_TERM_SEC = 2.0
# Processes that do not import the program's main module: that of a command takes as much memory as some engines.
_context = get_context("loky")
# One thread per process: the processes themselves keep the cores busy.
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


class ProcessWorkers:
    """One thread for each process, which sends it tasks and receives results."""

    def __init__(self, tasks: TaskQueue, engine: EngineSpec, count: int) -> None:
        self._events = EventQueue(tasks)
        self._tasks = tasks
        single_threaded = engine.device == "cpu" and count > 1
        self._workers = [
            _WorkerThread(number, tasks, engine, self._events, single_threaded=single_threaded, workers=count)
            for number in range(count)
        ]
        for worker in self._workers:
            worker.start()

    def next_event(self) -> WorkerEvent:
        return self._events.get()

    def close(self) -> None:
        self._tasks.close()
        for worker in self._workers:
            if worker.process is not None:
                worker.process.terminate()  # all of them, before waiting for any
        for worker in self._workers:
            worker.end()
        deadline = time.monotonic() + JOIN_SEC
        for worker in self._workers:
            worker.join(max(0.0, deadline - time.monotonic()))


class _WorkerThread(threading.Thread):
    def __init__(
        self,
        number: int,
        tasks: TaskQueue,
        engine: EngineSpec,
        events: EventQueue,
        *,
        single_threaded: bool,
        workers: int,
    ) -> None:
        super().__init__(name=f"synthesis-{number}", daemon=True)
        self._number, self._tasks, self._engine, self._events = number, tasks, engine, events
        self._single_threaded, self._worker_count = single_threaded, workers
        self._starting = threading.Lock()
        self._outstanding: deque[UtteranceTask] = deque()
        self._sent = 0  # of the outstanding
        self.process: LokyProcess | None = None

    def run(self) -> None:
        try:
            # A worker starts with its first task, so that an engine that is not needed is not loaded.
            while self._take_task():
                pipes = self._start()
                if pipes is None:
                    return
                with contextlib.closing(pipes):
                    self._exchange_tasks(pipes)
                self._handle_worker_exit()
        except BaseException as error:  # noqa: BLE001 - without an event the consumer would wait forever
            if not self._tasks.closed:
                self._events.put(WorkerFailed(error))

    def end(self) -> None:
        """End the process. Called from another thread, once the queue is closed."""
        with self._starting:
            if self.process is not None:
                _terminate(self.process)

    def _take_task(self) -> UtteranceTask | None:
        """Take a task: wait for one if none is outstanding, else only where the other workers have enough."""
        if self._outstanding:
            task = self._tasks.take(self._number, wait=False, leave=self._worker_count - 1)
        else:
            task = self._tasks.take(self._number)
        if task is not None:
            self._outstanding.append(task)
        return task

    def _start(self) -> "_Pipes | None":
        """Start a process and load its engine; None when the queue was closed."""
        ours, theirs = _pipes()
        with self._starting, contextlib.closing(theirs):
            if self._tasks.closed:
                ours.close()
                return None
            self.process = _context.Process(
                name=self.name,  # shown by `ps`
                target=_serve,
                args=(theirs, self._engine),
                daemon=True,
                init_main_module=b"__main__" in ForkingPickler.dumps(self._engine),  # an engine of the program's own
                env=_one_thread() if self._single_threaded else {},
            )
            self.process.start()
        try:
            load_error = ours.receiving.recv()
        except (EOFError, OSError):
            self.process.join(_TERM_SEC)
            load_error = f"its worker process exited with code {self.process.exitcode} while loading"
        if load_error:
            ours.close()
            raise SynthesisError(f"the engine {self._engine.name} cannot be loaded: {load_error}")
        self._events.put(WorkerReady(self._number))
        return ours

    def _exchange_tasks(self, pipes: "_Pipes") -> None:
        """Send tasks and receive results until the process exits or the queue is closed."""
        try:
            while True:
                while len(self._outstanding) < _PREFETCH_TASKS and self._take_task():
                    pass
                if not self._outstanding:
                    return
                self._send(pipes.sending)
                result, engine_sec = _receive(pipes.receiving)
                self._sent -= 1
                self._events.put(TaskResult(self._outstanding.popleft(), result, engine_sec))
                if isinstance(result, SynthesisFailure) and result.reason == "crashed":
                    self._sent = 0  # the worker exits and begins nothing more
                    return
        except (EOFError, OSError):
            return  # the process has exited

    def _send(self, sending: Connection) -> None:
        for task in [*islice(self._outstanding, self._sent, None)]:
            data = ForkingPickler.dumps(task.utterance)
            if self._sent and len(data) + 8 > _PREFETCH_BYTES:
                return
            sending.send_bytes(data)
            self._sent += 1

    def _handle_worker_exit(self) -> None:
        """The worker crashed on its current utterance. Utterances it had not started go back to the queue."""
        if self._tasks.closed or self.process is None:
            return
        self.process.join(_TERM_SEC)
        _terminate(self.process)
        self._tasks.forget_engine(self._number)
        if self._sent:
            message = f"its worker process exited with code {self.process.exitcode} on it"
            self._events.put(TaskResult(self._outstanding.popleft(), SynthesisFailure("crashed", message)))
        self._sent = 0
        while self._outstanding:
            self._tasks.requeue(self._outstanding.pop())


@dataclass(frozen=True, slots=True)
class _Pipes:
    """One side's ends of the two pipes between a worker and its parent."""

    receiving: Connection
    sending: Connection

    def close(self) -> None:
        self.receiving.close()
        self.sending.close()


def _pipes() -> tuple[_Pipes, _Pipes]:
    """The ends of this process and those of the worker."""
    tasks, to_do = _context.Pipe(duplex=False)
    results, done = _context.Pipe(duplex=False)
    with contextlib.suppress(OSError, AttributeError):  # not on Linux, or the user's limit is reached
        fcntl.fcntl(done.fileno(), fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
    return _Pipes(results, to_do), _Pipes(tasks, done)


def _terminate(process: LokyProcess) -> None:
    process.terminate()
    process.join(_TERM_SEC)
    if process.is_alive() and process.pid is not None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(process.pid, signal.SIGKILL)  # the processes of loky have no `kill`
        process.join(_TERM_SEC)


def _one_thread() -> dict[str, str]:
    """What makes a process use one thread, unless the user's environment says otherwise."""
    return {name: "1" for name in _THREADS if name not in os.environ}


def _receive(connection: Connection) -> tuple[Speech | SynthesisFailure, float]:
    """A result. Audio is sent as bytes after its header, without pickling."""
    header = connection.recv()
    if isinstance(header, str):
        raise SynthesisError(header)
    if isinstance(header[0], SynthesisFailure):
        return header
    samples, rate_hz, engine, revision, wall_sec, engine_sec = header
    audio = np.empty(samples, np.float32)
    if samples:
        connection.recv_bytes_into(audio)
    return Speech(audio, rate_hz, engine, revision, wall_sec), engine_sec


def _serve(pipes: _Pipes, spec: EngineSpec) -> None:
    """The worker process: loads its engine, speaks what it receives, and exits when its pipe is closed."""
    install_signal_handlers()
    answer = pipes.sending
    try:
        engine = spec.load()
    except Exception as error:  # noqa: BLE001 - reported to the parent process
        answer.send(f"{type(error).__name__}: {error}")
        return
    answer.send("")
    with contextlib.suppress(EOFError, OSError):
        while True:
            try:
                result, engine_sec = speak_utterance(engine, pipes.receiving.recv())
            except EngineBrokenError as error:
                answer.send((SynthesisFailure("crashed", str(error)), 0.0))
                return
            except EngineUnavailableError as error:
                answer.send(str(error))
                return
            if isinstance(result, SynthesisFailure):
                answer.send((result, engine_sec))
                continue
            audio = np.ascontiguousarray(result.audio)
            answer.send(
                (len(audio), result.sample_rate_hz, result.engine, result.revision, result.wall_sec, engine_sec)
            )
            if len(audio):
                answer.send_bytes(audio.data)
