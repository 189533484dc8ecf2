"""What a speech engine is: an utterance in, speech out."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from voice_core.fingerprint import sha256

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

    def prompt_identity(self, voice: str) -> str:
        """A hash of the recording that the voice is made from, as the file is now; "" where the engine cannot tell.

        Raises ValueError or OSError where the engine does not have the voice.
        """
        ...

    def ready(self, purpose: str) -> AbstractContextManager[None]:
        """Load the engine onto a free GPU and keep that GPU from other processes of this machine.

        An engine on the CPU holds nothing. `purpose` is shown to processes that wait for the GPU.
        """
        ...

    def held(self, purpose: str) -> AbstractContextManager[dict[str, Any]]:
        """Keep a free GPU from other processes of this machine and load nothing: the options with which worker
        processes load their engines onto it."""
        ...


class EngineBase:
    """The parts of `SpeechEngine` that most engines share; an engine that clones voices or runs on a GPU overrides
    them."""

    name: Any
    capabilities: Any
    voices: Any

    def prompt_identity(self, voice: str) -> str:
        if not self.capabilities.clones:
            if voice not in ("default", *self.voices):
                raise ValueError(f"{self.name} has no such voice; it has {', '.join(self.voices)}")
            return ""
        try:
            return sha256(Path(voice).expanduser().read_bytes())
        except (ValueError, OSError, RuntimeError):  # no such file, no file name, or no such home folder
            return ""

    def ready(self, purpose: str) -> AbstractContextManager[None]:
        return nullcontext()

    def held(self, purpose: str) -> AbstractContextManager[dict[str, Any]]:
        return nullcontext({})
