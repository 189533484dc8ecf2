"""What a speech engine is: an utterance in, speech out."""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True, slots=True)
class Utterance:
    """Something to be said."""

    text: str
    voice: str = "default"
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Speech:
    """Something said: mono float32 audio of shape [samples], full scale ±1.0."""

    audio: npt.NDArray[np.float32]
    sample_rate_hz: int
    engine: str
    revision: str

    @property
    def duration_sec(self) -> float:
        return len(self.audio) / self.sample_rate_hz


@runtime_checkable
class SpeechEngine(Protocol):
    """Utterance → Speech. With `deterministic` the same utterance gives the same samples, always."""

    @property
    def name(self) -> str: ...
    @property
    def revision(self) -> str: ...
    @property
    def deterministic(self) -> bool: ...
    @property
    def voices(self) -> tuple[str, ...]: ...

    def speak(self, utterance: Utterance) -> Speech: ...
