"""When each turn begins. Pure; the result does not depend on the order in which dialogues are processed."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

from voice_core.fingerprint import hash_to_unit_interval
from voice_core.moshi.script import SAMPLE_RATE_HZ, Dialogue, Role
from voice_core.settings import MoshiSettings

TIMING_VERSION = 1
_EDGE = 1e-9  # the normal distribution has no quantile at 0 and 1


def drawn_gap_sec(settings: MoshiSettings, *key: str | int) -> float:
    """A silence between turns, seconds: log-normal, within `gap_min_sec` and `gap_max_sec`; equal keys, equal gaps.

    People answer after 0.2 s in the median: Stivers et al. 2009, PNAS 106 (26), 10587–10592, over ten languages;
    the long right tail is that of Heldner & Edlund 2010, J. Phonetics 38 (4), 555–568.

    >>> drawn_gap_sec(MoshiSettings(gap_spread=0), "any") == 0.2
    True
    """
    share = min(max(hash_to_unit_interval("gap", settings.seed, *key), _EDGE), 1 - _EDGE)
    gap = settings.gap_median_sec * math.exp(settings.gap_spread * NormalDist().inv_cdf(share))
    return min(max(gap, settings.gap_min_sec), settings.gap_max_sec)


def drawn_overlap_sec(settings: MoshiSettings, *key: str | int) -> float:
    """An overlap where one is drawn, even up to `overlap_max_sec`; else 0."""
    if hash_to_unit_interval("overlaps", settings.seed, *key) >= settings.overlap_probability:
        return 0.0
    return settings.overlap_max_sec * hash_to_unit_interval("overlap", settings.seed, *key)


@dataclass(frozen=True, slots=True)
class SpeechExtent:
    """The length of an utterance in samples at 24 kHz, and the silence before and after its speech."""

    length: int
    lead: int = 0
    tail: int = 0

    @property
    def speech(self) -> int:
        return self.length - self.lead - self.tail


def plan_turns(dialogue: Dialogue, extents: Sequence[SpeechExtent], settings: MoshiSettings) -> list[int]:
    """The sample at which each turn's audio begins, at 24 kHz.

    Gaps and overlaps are measured between speech, not between audio: engines put silence around their speech, which
    would make gaps unnaturally long.

    - A pause is counted from the end of all earlier speech.
    - An overlap is counted back from the end of the other's last turn, not beyond its beginning. An overlap that is
      longer than the turn itself is a back-channel: it ends while the other still speaks.
    - What the script leaves open is drawn; a drawn overlap takes at most half of either turn.
    - A speaker's turns do not overlap: on its channel a turn's audio begins at the end of the previous one or later.
    - With `legacy_io` each channel begins at 0 and continues without gaps.

    Raises ValueError where there are not as many extents as turns.
    """
    starts: list[int] = []
    last_speech: dict[Role, tuple[int, int]] = {}  # extent of each speaker's last speech
    taken: dict[Role, int] = {"assistant": 0, "user": 0}  # end of the audio on each channel
    for index, (turn, extent) in enumerate(zip(dialogue.turns, extents, strict=True)):
        other: Role = "user" if turn.role == "assistant" else "assistant"
        if settings.legacy_io:
            start = taken[turn.role]
        else:
            latest = max((stop for _, stop in last_speech.values()), default=0)
            overlap = _overlap(dialogue, index, extent, last_speech.get(other), settings)
            if overlap and other in last_speech:
                wanted = max(last_speech[other][0], last_speech[other][1] - overlap)
            else:
                wanted = latest + _pause(dialogue, index, settings)
            start = max(taken[turn.role], wanted - extent.lead)
        starts.append(start)
        taken[turn.role] = start + extent.length
        last_speech[turn.role] = (start + extent.lead, start + extent.length - extent.tail)
    return starts


def _pause(dialogue: Dialogue, index: int, settings: MoshiSettings) -> int:
    pause = dialogue.turns[index].pause_before_sec
    if pause is None and dialogue.turns[index].overlap_sec is None:
        pause = drawn_gap_sec(settings, dialogue.id, index) if index else 0.0
    return round((pause or 0.0) * SAMPLE_RATE_HZ)


def _overlap(
    dialogue: Dialogue, index: int, extent: SpeechExtent, other: tuple[int, int] | None, settings: MoshiSettings
) -> int:
    turn = dialogue.turns[index]
    if turn.overlap_sec is not None:
        return round(turn.overlap_sec * SAMPLE_RATE_HZ)
    if turn.pause_before_sec is not None or other is None or dialogue.turns[index - 1].role == turn.role:
        return 0
    drawn = round(drawn_overlap_sec(settings, dialogue.id, index) * SAMPLE_RATE_HZ)
    return min(drawn, extent.speech // 2, (other[1] - other[0]) // 2)
