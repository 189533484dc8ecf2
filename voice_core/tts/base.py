"""What a speech engine is: an utterance in, speech out."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

Samples = npt.NDArray[np.float32]
"""Mono audio, shape [samples], full scale ±1.0."""


class EngineUnavailableError(RuntimeError):
    """The engine cannot be loaded: its package, weights or GPU are missing. The message says how to get them."""


class EngineBrokenError(EngineUnavailableError):
    """It spoke, and in this process it cannot any more: its GPU's context is lost. In a new process it may."""


class TransientEngineError(RuntimeError):
    """This time it failed; the same utterance may well be said when it is tried again."""


@dataclass(frozen=True, slots=True)
class Utterance:
    """Something to be said. `voice` is a name the engine knows, or, where it clones, a recording's path."""

    text: str
    voice: str = "default"
    language: str = ""  # BCP-47; the engine's own when empty
    emotion: str = ""  # a style the engine knows, or a description of one; neutral when empty
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Speech:
    """Something said."""

    audio: Samples
    sample_rate_hz: int
    engine: str
    revision: str
    wall_sec: float = field(default=0.0, compare=False)  # what saying it took

    @property
    def duration_sec(self) -> float:
        return len(self.audio) / self.sample_rate_hz

    @property
    def real_time_factor(self) -> float:
        """Seconds of work for a second of speech; 0 for no speech."""
        return self.wall_sec / self.duration_sec if len(self.audio) else 0.0


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What an engine can do."""

    deterministic: bool  # the same utterance gives the same samples, always
    thread_safe: bool  # several threads may speak with one instance at once
    streams: bool = False  # `stream` yields before all is said
    clones: bool = False  # a voice may be the path of a recording
    keeps_one_voice: bool = False  # what it computed of a voice is lost with the next: a change of voice costs
    languages: tuple[str, ...] = ()  # BCP-47; empty: whatever its model makes of a text
    emotions: tuple[str, ...] = ()


@runtime_checkable
class SpeechEngine(Protocol):
    """Utterance → Speech. `name` and `revision` identify what it sounds like."""

    @property
    def name(self) -> str: ...
    @property
    def revision(self) -> str: ...
    @property
    def sample_rate_hz(self) -> int: ...
    @property
    def capabilities(self) -> Capabilities: ...
    @property
    def voices(self) -> tuple[str, ...]:
        """The voices it has by name, "default" aside."""
        ...

    def speak(self, utterance: Utterance) -> Speech:
        """Raises ValueError for an utterance that it cannot say, naming what is wrong with it;
        TransientEngineError where trying again may help; EngineUnavailableError where it cannot load."""
        ...

    def stream(self, utterance: Utterance) -> Iterator[Samples]:
        """The same audio in pieces, as they come."""
        ...

    def warm(self, voice: str) -> None:
        """Load what speaking with this voice needs, so that the first utterance is as fast as the others."""
        ...

    def clear(self) -> None:
        """Forget what was kept of voices: a recording may have changed under its path."""
        ...


def load_on_reserved_gpu(engine: SpeechEngine, purpose: str) -> AbstractContextManager[None]:
    """While this lasts, keep a GPU from other processes for an engine that runs on one; it is loaded there."""
    holds: Callable[[str], AbstractContextManager[None]] | None = getattr(engine, "ready", None)
    return holds(purpose) if holds else nullcontext()


def reserve_gpu(engine: SpeechEngine, purpose: str) -> AbstractContextManager[dict[str, object]]:
    """While this lasts, keep a GPU from other processes for engines that are yet to be loaded, with these options."""
    holds: Callable[[str], AbstractContextManager[dict[str, object]]] | None = getattr(engine, "held", None)
    return holds(purpose) if holds else nullcontext({})
