"""What a batch asks of speech engines, and what they answer."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from voice_core.tts.base import Speech, Utterance

Where = tuple[int, int]
"""(dialogue index, turn index); where a voice's level is measured, (−1 − the voice's number, sentence)."""


def is_turn(where: Where) -> bool:
    return where[0] >= 0


@dataclass(frozen=True, slots=True)
class Failure:
    """Why an utterance could not be spoken."""

    message: str
    reason: str = "speech_failed"


Asked = Sequence[tuple[Where, Utterance]]
Speak = Callable[[Asked], Iterable[tuple[Where, Speech | Failure]]]
"""Says utterances, each exactly once, in any order; near the order of asking it takes the least memory."""
