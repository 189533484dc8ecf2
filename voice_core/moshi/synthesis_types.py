"""What a batch requests of speech engines, and the results."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from voice_core.synthesis.types import SynthesisFailure
from voice_core.synthesis.voice_levels import CalibrationSentence
from voice_core.tts.base import Speech, Utterance

SPOKEN = "moshi_spoken"
"""Folder of speech that is kept until its batch is committed."""


@dataclass(frozen=True, slots=True)
class TurnIndex:
    """Identifies a turn of a batch: the numbers of its dialogue and within it, from 0."""

    dialogue: int
    turn: int

    @property
    def group(self) -> int:
        return self.dialogue


UtteranceIndex = TurnIndex | CalibrationSentence
SpeechRequests = Sequence[tuple[UtteranceIndex, Utterance]]
SpeechResults = Iterable[tuple[UtteranceIndex, Speech | SynthesisFailure]]
SpeakFunction = Callable[[SpeechRequests], SpeechResults]
"""Speaks utterances, each exactly once, in any order. An order near that of the requests takes the least memory."""
