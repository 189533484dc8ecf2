"""What cutting leaves of recordings that it would open. Pure.

Counted where their transcripts were read; the others are taken to be like those.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from voice_core.corpus.plan.estimates import ZERO, Quantity
from voice_core.corpus.plan.segment_forecast import NewSegment, RecordingForecast, SegmentForecast


@dataclass(frozen=True, slots=True)
class NewSegmentTotals:
    """Segments that nobody has cut yet: how many, their bytes, and the part of them that the rules will keep."""

    count: float = 0.0
    size_bytes: float = 0.0
    kept: float = 0.0
    kept_sec: float = 0.0
    kept_bytes: float = 0.0

    def __add__(self, other: "NewSegmentTotals") -> "NewSegmentTotals":
        return NewSegmentTotals(
            self.count + other.count,
            self.size_bytes + other.size_bytes,
            self.kept + other.kept,
            self.kept_sec + other.kept_sec,
            self.kept_bytes + other.kept_bytes,
        )

    def scaled(self, factor: float) -> "NewSegmentTotals":
        return NewSegmentTotals(
            factor * self.count,
            factor * self.size_bytes,
            factor * self.kept,
            factor * self.kept_sec,
            factor * self.kept_bytes,
        )


NO_NEW_SEGMENTS: Final = NewSegmentTotals()


@dataclass(frozen=True, slots=True)
class CuttingEstimate:
    """What cutting some recordings takes, and what comes of it."""

    decoded: Quantity = ZERO  # recordings
    decoded_sec: Quantity = ZERO
    raw_bytes: Quantity = ZERO
    cut: Quantity = ZERO
    new_segments: NewSegmentTotals = NO_NEW_SEGMENTS

    def __add__(self, other: "CuttingEstimate") -> "CuttingEstimate":
        return CuttingEstimate(
            self.decoded + other.decoded,
            self.decoded_sec + other.decoded_sec,
            self.raw_bytes + other.raw_bytes,
            self.cut + other.cut,
            self.new_segments + other.new_segments,
        )


@dataclass(frozen=True, slots=True)
class RecordingAverages:
    """What the recordings whose transcripts were read came to: a second of them, or a byte."""

    new_segments: NewSegmentTotals = NO_NEW_SEGMENTS  # a second
    decoded: float = 0.0  # share of recordings
    decoded_sec: float = 0.0  # share of seconds
    raw_bytes: float = 0.0  # share of bytes


def average_recordings(foresights: Iterable[SegmentForecast]) -> RecordingAverages:
    read = [
        item
        for foresight in foresights
        for item in foresight.recording_forecasts
        if item.read and item.recording.transcript
    ]
    if not read:
        return RecordingAverages()
    seconds = math.fsum(item.recording.duration_sec for item in read) or 1.0
    size = sum(item.recording.audio.size for item in read if item.recording.audio) or 1
    return RecordingAverages(
        sum((expected_totals(new) for item in read for new in item.new), NO_NEW_SEGMENTS).scaled(1 / seconds),
        sum(item.decoded for item in read) / len(read),
        math.fsum(item.decoded_sec for item in read) / seconds,
        math.fsum(item.raw_bytes for item in read) / size,
    )


def estimate_cutting(foresight: SegmentForecast, common: RecordingAverages) -> CuttingEstimate:
    """Over a batch; `common` goes for recordings whose transcripts were not read."""
    return sum((_estimate_recording(item, common) for item in foresight.recording_forecasts), CuttingEstimate())


def _estimate_recording(item: RecordingForecast, common: RecordingAverages) -> CuttingEstimate:
    if item.read:
        new_segments = sum(map(expected_totals, item.new), NO_NEW_SEGMENTS)
        decoded, seconds, size = float(item.decoded), item.decoded_sec, item.raw_bytes
    else:
        length = item.recording.duration_sec
        new_segments = common.new_segments.scaled(length)
        decoded, seconds = common.decoded, common.decoded_sec * length
        size = common.raw_bytes * (item.recording.audio.size if item.recording.audio else 0)
    return CuttingEstimate(
        Quantity(decoded, item.exact),
        Quantity(seconds, item.exact),
        Quantity(size, item.exact),
        Quantity(new_segments.count, item.exact),
        new_segments,
    )


def expected_totals(new: NewSegment) -> NewSegmentTotals:
    """What is expected of one line."""
    return NewSegmentTotals(
        1,
        new.size_bytes,
        new.keep_probability,
        new.keep_probability * new.seconds,
        new.keep_probability * new.size_bytes,
    )
