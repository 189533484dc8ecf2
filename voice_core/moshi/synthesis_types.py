"""What a batch asks of speech engines, and what they answer."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from voice_core.tts.base import Speech, Utterance

UtteranceIndex = tuple[int, int]
"""(dialogue index, turn index); where a voice's level is measured, (−1 − the voice's number, sentence)."""


def is_turn(where: UtteranceIndex) -> bool:
    return where[0] >= 0


@dataclass(frozen=True, slots=True)
class UtteranceFailure:
    """Why an utterance could not be spoken."""

    message: str
    reason: str = "speech_failed"


SpeechRequests = Sequence[tuple[UtteranceIndex, Utterance]]
SpeakFunction = Callable[[SpeechRequests], Iterable[tuple[UtteranceIndex, Speech | UtteranceFailure]]]
"""Says utterances, each exactly once, in any order; near the order of asking it takes the least memory."""
