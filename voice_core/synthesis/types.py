"""What goes into synthesis and what comes out."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from voice_core.tts import Speech, SpeechEngine, Utterance, load_engine
from voice_core.tts.base import EngineUnavailableError

Backend = Literal["auto", "serial", "thread", "process"]
BACKENDS: tuple[Backend, ...] = ("auto", "serial", "thread", "process")


class SynthesisError(EngineUnavailableError):
    """Nothing can be spoken: the engine does not load in a worker process. The message says why."""


@dataclass(frozen=True, slots=True)
class UtteranceGroup:
    """Utterances that belong together, such as a dialogue's turns or a chapter's chunks. `key` is the caller's."""

    key: str
    utterances: tuple[Utterance, ...]


@dataclass(frozen=True, slots=True)
class SynthesisFailure:
    """An utterance that was not spoken.

    `reason`, for tables: "refused" (the engine says that the utterance is wrong), "failed" (any other error of the
    engine) or "crashed" (the worker process died of it, lost its GPU by it, or was killed meanwhile).
    """

    reason: Literal["refused", "failed", "crashed"]
    message: str
    attempts: int = 1


@dataclass(frozen=True, slots=True)
class SpokenGroup:
    """A group, spoken: one speech or failure for each of its utterances, in their order."""

    key: str
    speeches: tuple[Speech | SynthesisFailure, ...]

    @property
    def failures(self) -> tuple[SynthesisFailure, ...]:
        return tuple(speech for speech in self.speeches if isinstance(speech, SynthesisFailure))


@dataclass(frozen=True)
class EngineSpec:
    """An engine that is yet to be loaded; goes to worker processes by pickle.

    `memory_gb` is what one instance takes, of the GPU's memory where it runs on one. `thread_safe` is its capability of
    that name, which must be known before it is loaded to choose a backend.
    """

    name: str
    options: Mapping[str, object] = field(default_factory=dict)
    memory_gb: float = 1.0
    thread_safe: bool = False

    @property
    def device(self) -> str:
        """Where it runs: its option `device`, "cpu" without one."""
        return str(self.options.get("device") or "cpu")

    def load(self) -> SpeechEngine:
        """Raises what the engine raises that cannot be loaded; ValueError for a name that no engine has."""
        return load_engine(self.name, **self.options)


@dataclass(frozen=True, slots=True)
class SynthesisOptions:
    """How to synthesise.

    `workers` 0 leaves the number to `choose`. On a GPU there are never more than `max_gpu_concurrency`: an engine that
    waits for the others would only hold memory. `postprocess_workers` is how many processes will work beside the
    engines on what
    they say: cores and memory are theirs first. `planner_buffer` is how many groups are read ahead of the last one that
    was handed over: memory, and the stretch over which utterances are sorted by voice; the first group comes out when
    about that many are half done. `group_by_voice=False` takes utterances as they come, for engines to which a change
    of voice costs nothing. `retries` is how often an utterance is tried again. `total` is the number of utterances to
    come, if it is known; without it there is no progress to report. `label` says what is spoken. `log_json` logs
    `Stats` as a line of JSON every `log_every_sec` seconds to the logger `voice_core.synthesis.stats`.
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
            raise ValueError(f"there is no backend {self.backend!r}; there are {', '.join(BACKENDS)}")
        for name, least in (
            ("workers", 0),
            ("postprocess_workers", 0),
            ("max_gpu_concurrency", 1),
            ("planner_buffer", 1),
            ("retries", 0),
        ):
            if getattr(self, name) < least:
                raise ValueError(f"{name} must be at least {least}, and is {getattr(self, name)}")
