"""What cutting leaves of recordings that it would open. Pure.

Counted where their transcripts were read; the others are taken to be like those.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from voice_core.corpus.plan.estimates import ZERO, Figure
from voice_core.corpus.plan.forecast import Foresight, NewSegment, Opened


@dataclass(frozen=True, slots=True)
class Fresh:
    """Segments that nobody has cut yet: how many, their bytes, and the part of them that the rules will keep."""

    count: float = 0.0
    size_bytes: float = 0.0
    kept: float = 0.0
    kept_sec: float = 0.0
    kept_bytes: float = 0.0

    def __add__(self, other: "Fresh") -> "Fresh":
        return Fresh(
            self.count + other.count,
            self.size_bytes + other.size_bytes,
            self.kept + other.kept,
            self.kept_sec + other.kept_sec,
            self.kept_bytes + other.kept_bytes,
        )

    def times(self, factor: float) -> "Fresh":
        return Fresh(
            factor * self.count,
            factor * self.size_bytes,
            factor * self.kept,
            factor * self.kept_sec,
            factor * self.kept_bytes,
        )


NOTHING_CUT: Final = Fresh()


@dataclass(frozen=True, slots=True)
class Cutting:
    """What cutting some recordings takes, and what comes of it."""

    decoded: Figure = ZERO  # recordings
    decoded_sec: Figure = ZERO
    raw_bytes: Figure = ZERO
    cut: Figure = ZERO
    fresh: Fresh = NOTHING_CUT

    def __add__(self, other: "Cutting") -> "Cutting":
        return Cutting(
            self.decoded + other.decoded,
            self.decoded_sec + other.decoded_sec,
            self.raw_bytes + other.raw_bytes,
            self.cut + other.cut,
            self.fresh + other.fresh,
        )


@dataclass(frozen=True, slots=True)
class Usual:
    """What the recordings whose transcripts were read came to: a second of them, or a byte."""

    fresh: Fresh = NOTHING_CUT  # a second
    decoded: float = 0.0  # share of recordings
    decoded_sec: float = 0.0  # share of seconds
    raw_bytes: float = 0.0  # share of bytes


def usual(foresights: Iterable[Foresight]) -> Usual:
    read = [item for foresight in foresights for item in foresight.opened if item.read and item.recording.transcript]
    if not read:
        return Usual()
    seconds = math.fsum(item.recording.duration_sec for item in read) or 1.0
    size = sum(item.recording.audio.size for item in read if item.recording.audio) or 1
    return Usual(
        sum((fresh_of(new) for item in read for new in item.new), NOTHING_CUT).times(1 / seconds),
        sum(item.decoded for item in read) / len(read),
        math.fsum(item.decoded_sec for item in read) / seconds,
        math.fsum(item.raw_bytes for item in read) / size,
    )


def cutting(foresight: Foresight, common: Usual) -> Cutting:
    """Over a batch; `common` goes for recordings whose transcripts were not read."""
    return sum((_one(item, common) for item in foresight.opened), Cutting())


def _one(item: Opened, common: Usual) -> Cutting:
    if item.read:
        fresh = sum(map(fresh_of, item.new), NOTHING_CUT)
        decoded, seconds, size = float(item.decoded), item.decoded_sec, item.raw_bytes
    else:
        length = item.recording.duration_sec
        fresh = common.fresh.times(length)
        decoded, seconds = common.decoded, common.decoded_sec * length
        size = common.raw_bytes * (item.recording.audio.size if item.recording.audio else 0)
    return Cutting(
        Figure(decoded, item.exact),
        Figure(seconds, item.exact),
        Figure(size, item.exact),
        Figure(fresh.count, item.exact),
        fresh,
    )


def fresh_of(new: NewSegment) -> Fresh:
    """What is expected of one line."""
    return Fresh(1, new.size_bytes, new.chance, new.chance * new.seconds, new.chance * new.size_bytes)
