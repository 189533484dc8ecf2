"""What a batch asks of speech engines, and what they answer."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from voice_core.tts.base import Speech, Utterance

Where = tuple[int, int]
"""(dialogue index, turn index)."""


@dataclass(frozen=True, slots=True)
class Failure:
    """Why an utterance could not be spoken."""

    message: str
    reason: str = "speech_failed"


Asked = Sequence[tuple[Where, Utterance]]
Said = Iterable[tuple[Where, Speech | Failure]]
Speak = Callable[[Asked], Said]
"""Says utterances, each exactly once, in any order; near the order of asking it takes the least memory."""
