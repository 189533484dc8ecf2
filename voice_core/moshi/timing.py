"""When each turn begins. Pure, and the same in whatever order dialogues are worked on."""

import math
from collections.abc import Sequence
from statistics import NormalDist

from voice_core.fingerprint import unit_interval
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
    share = min(max(unit_interval("gap", settings.seed, *key), _EDGE), 1 - _EDGE)
    gap = settings.gap_median_sec * math.exp(settings.gap_spread * NormalDist().inv_cdf(share))
    return min(max(gap, settings.gap_min_sec), settings.gap_max_sec)


def drawn_overlap_sec(settings: MoshiSettings, *key: str | int) -> float:
    """An overlap where one is drawn, even up to `overlap_max_sec`; else 0."""
    if unit_interval("overlaps", settings.seed, *key) >= settings.overlap_probability:
        return 0.0
    return settings.overlap_max_sec * unit_interval("overlap", settings.seed, *key)


def plan_turns(dialogue: Dialogue, sample_counts: Sequence[int], settings: MoshiSettings) -> list[int]:
    """The sample at which each turn begins, at 24 kHz; `sample_counts` are the lengths of what is said.

    - A pause is counted from the end of all that was said before.
    - An overlap is counted back from the end of the other's last turn, not beyond its beginning. One that is longer
      than the turn itself is a back-channel: it is over while the other still speaks.
    - What the script leaves open is drawn; a drawn overlap takes at most half of either turn.
    - Nobody speaks twice at once: on its own channel a turn begins at the end of the one before at the earliest.
    - With `legacy_io` each channel begins at 0 and goes on without gaps.

    Raises ValueError where there are not as many lengths as turns.
    """
    starts: list[int] = []
    spans: dict[Role, tuple[int, int]] = {}  # of the last turn of each
    for index, (turn, length) in enumerate(zip(dialogue.turns, sample_counts, strict=True)):
        other: Role = "user" if turn.role == "assistant" else "assistant"
        own_end = spans[turn.role][1] if turn.role in spans else 0
        if settings.legacy_io:
            start = own_end
        else:
            latest = max((stop for _, stop in spans.values()), default=0)
            overlap = _overlap(dialogue, index, length, spans.get(other), settings)
            if overlap and other in spans:
                start = max(own_end, spans[other][0], spans[other][1] - overlap)
            else:
                start = latest + _pause(dialogue, index, settings)
        starts.append(start)
        spans[turn.role] = (start, start + length)
    return starts


def _pause(dialogue: Dialogue, index: int, settings: MoshiSettings) -> int:
    pause = dialogue.turns[index].pause_before_sec
    if pause is None and dialogue.turns[index].overlap_sec is None:
        pause = drawn_gap_sec(settings, dialogue.id, index) if index else 0.0
    return round((pause or 0.0) * SAMPLE_RATE_HZ)


def _overlap(
    dialogue: Dialogue, index: int, length: int, other: tuple[int, int] | None, settings: MoshiSettings
) -> int:
    turn = dialogue.turns[index]
    if turn.overlap_sec is not None:
        return round(turn.overlap_sec * SAMPLE_RATE_HZ)
    if turn.pause_before_sec is not None or other is None or dialogue.turns[index - 1].role == turn.role:
        return 0
    drawn = round(drawn_overlap_sec(settings, dialogue.id, index) * SAMPLE_RATE_HZ)
    return min(drawn, length // 2, (other[1] - other[0]) // 2)
