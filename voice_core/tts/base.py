"""The `SpeechEngine` protocol: utterances to speech."""

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
    """The engine cannot be loaded: its package, weights or GPU are missing. The message says how to install them."""


class EngineBrokenError(EngineUnavailableError):
    """The engine cannot speak any more in this process: its GPU context is lost. It may work in a new process."""


class TransientEngineError(RuntimeError):
    """The engine failed; a retry of the same utterance may succeed."""


@dataclass(frozen=True, slots=True)
class Utterance:
    """A text to be spoken. `voice` is the name of one of the engine's voices, or the path of a recording to clone."""

    text: str
    voice: str = "default"
    language: str = ""  # BCP-47; the engine's default when empty
    emotion: str = ""  # a style that the engine has, or a description of one; neutral when empty
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Speech:
    """A spoken utterance."""

    audio: Samples
    sample_rate_hz: int
    engine: str
    revision: str
    wall_sec: float = field(default=0.0, compare=False)  # time that the engine took

    @property
    def duration_sec(self) -> float:
        return len(self.audio) / self.sample_rate_hz

    @property
    def real_time_factor(self) -> float:
        """Seconds of work per second of speech; 0 for no speech."""
        return self.wall_sec / self.duration_sec if len(self.audio) else 0.0


@dataclass(frozen=True, slots=True)
class Capabilities:
    """The abilities of an engine."""

    deterministic: bool  # the same utterance always gives the same samples
    thread_safe: bool  # several threads may use one instance at once
    streams: bool = False  # `stream` yields audio before the whole text is spoken
    clones: bool = False  # a voice may be the path of a recording
    keeps_one_voice: bool = False  # only the last voice is cached: changing the voice takes time
    languages: tuple[str, ...] = ()  # BCP-47; empty: not restricted
    emotions: tuple[str, ...] = ()
    max_characters: int = 400  # longest text that is spoken well at once
    inline_phonemes: bool = False  # `[word](/phonemes/)` in a text sets the word's pronunciation


@runtime_checkable
class SpeechEngine(Protocol):
    """Utterance → Speech. `name` and `revision` identify the sound: engines that share both give the same speech."""

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
        """The names of the voices, without "default"."""
        ...

    def speak(self, utterance: Utterance) -> Speech:
        """Speak an utterance.

        Raises ValueError, with the reason, for an utterance that the engine cannot speak; TransientEngineError where a
        retry may succeed; EngineUnavailableError where the engine cannot be loaded.
        """
        ...

    def stream(self, utterance: Utterance) -> Iterator[Samples]:
        """The audio of `speak` in pieces, as they are made."""
        ...

    def warm(self, voice: str) -> None:
        """Load everything that this voice needs, so that the first utterance is as fast as the others."""
        ...

    def clear(self) -> None:
        """Drop cached voices: the recording at a path may have changed."""
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
