"""Inputs, results and options of speech synthesis."""

from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from typing import Literal, Protocol

from voice_core.tts import Speech, SpeechEngine, Utterance, load_engine
from voice_core.tts.base import EngineUnavailableError

Backend = Literal["auto", "serial", "thread", "process"]
BACKENDS: tuple[Backend, ...] = ("auto", "serial", "thread", "process")


class SynthesisError(EngineUnavailableError):
    """Nothing can be spoken: the engine cannot be loaded in a worker process. The message says why."""


@dataclass(frozen=True, slots=True)
class UtteranceGroup:
    """Utterances that belong together, such as a dialogue's turns or a chapter's chunks. `key` is the caller's."""

    key: str
    utterances: tuple[Utterance, ...]


@dataclass(frozen=True, slots=True)
class SynthesisFailure:
    """An utterance that was not spoken.

    `reason`, for tables: "refused" (the engine rejects the utterance), "failed" (any other error of the engine) or
    "crashed" (the worker process crashed on it, lost its GPU on it, or was killed meanwhile).
    """

    reason: Literal["refused", "failed", "crashed"]
    message: str
    attempts: int = 1

    @property
    def description(self) -> str:
        """
        >>> SynthesisFailure("failed", "out of memory", attempts=2).description
        'out of memory (tried 2 times)'
        """
        return self.message if self.attempts == 1 else f"{self.message} (tried {self.attempts} times)"


class UtteranceId(Protocol):
    """Identifies an utterance among those that are requested together. Utterances of one group are used together."""

    def __hash__(self) -> int: ...
    @property
    def group(self) -> Hashable: ...


@dataclass(frozen=True, slots=True)
class SpokenGroup:
    """A spoken group: one speech or failure for each of its utterances, in their order."""

    key: str
    speeches: tuple[Speech | SynthesisFailure, ...]

    @property
    def failures(self) -> tuple[SynthesisFailure, ...]:
        return tuple(speech for speech in self.speeches if isinstance(speech, SynthesisFailure))


@dataclass(frozen=True)
class EngineSpec:
    """An engine that is not loaded yet. It is pickled to worker processes.

    `memory_gb` is what one instance takes, of GPU memory where it runs on a GPU. `thread_safe` is its capability of
    that name, which must be known before it is loaded to choose a backend.
    """

    name: str
    options: Mapping[str, object] = field(default_factory=dict)
    memory_gb: float = 1.0
    thread_safe: bool = False

    @property
    def device(self) -> str:
        """Where it runs: its option `device`, or "cpu"."""
        return str(self.options.get("device") or "cpu")

    def load(self) -> SpeechEngine:
        """Raises the engine's own loading errors, and ValueError for an unknown name."""
        return load_engine(self.name, **self.options)


@dataclass(frozen=True, slots=True)
class SynthesisOptions:
    """How to synthesise.

    Attributes:
        workers: number of engines; 0 leaves it to `choose_workers`.
        max_gpu_concurrency: most engines on a GPU; an engine that waits for the others only holds memory.
        postprocess_workers: number of processes that will process the speech; they get cores and memory first.
        planner_buffer: groups read ahead of the last one that was yielded. More take more memory, and let more
            utterances be sorted by voice; the first group is complete when about half of the buffer is spoken.
        ordered: yield groups in the order of the input.
        group_by_voice: let each engine continue with its voice; False where a change of voice costs nothing.
        retries: how often an utterance is tried again.
        total: number of utterances to come; 0 for unknown, and no progress is reported then.
        label: what is spoken, for the progress display.
        log_json: log `SynthesisStats` as a line of JSON every `log_every_sec` seconds to the logger
            `voice_core.synthesis.stats`.
    """

    backend: Backend = "auto"
    workers: int = 0
    max_gpu_concurrency: int = 1
    postprocess_workers: int = 0
    planner_buffer: int = 32
    ordered: bool = True
    group_by_voice: bool = True
    retries: int = 1
    total: int = 0
    label: str = "speech"
    log_json: bool = False
    log_every_sec: float = 5.0

    def __post_init__(self) -> None:
        if self.backend not in BACKENDS:
            raise ValueError(f"unknown backend {self.backend!r}; known backends: {', '.join(BACKENDS)}")
        for name, least in (
            ("workers", 0),
            ("postprocess_workers", 0),
            ("max_gpu_concurrency", 1),
            ("planner_buffer", 1),
            ("retries", 0),
        ):
            if getattr(self, name) < least:
                raise ValueError(f"{name} must be at least {least}, and is {getattr(self, name)}")
