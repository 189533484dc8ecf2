"""What cutting produces from recordings that a build would open. Pure.

Lines are counted where the transcript was read; the other recordings are assumed to be like those on average.
"""

import math
from collections.abc import Iterable
from dataclasses import astuple, dataclass
from typing import Final

from voice_core.corpus.plan.estimates import ZERO, FieldwiseSum, Quantity
from voice_core.corpus.plan.segment_forecast import NewSegment, RecordingForecast, SegmentForecast


@dataclass(frozen=True, slots=True)
class NewSegmentTotals(FieldwiseSum):
    """Segments that are not cut yet: their number and bytes, and the part that the rules are expected to keep."""

    count: float = 0.0
    size_bytes: float = 0.0
    kept: float = 0.0
    kept_sec: float = 0.0
    kept_bytes: float = 0.0

    def scaled(self, factor: float) -> "NewSegmentTotals":
        return NewSegmentTotals(*(factor * value for value in astuple(self)))


NO_NEW_SEGMENTS: Final = NewSegmentTotals()


@dataclass(frozen=True, slots=True)
class CuttingEstimate(FieldwiseSum):
    """Work of cutting some recordings, and the segments that come of it."""

    decoded: Quantity = ZERO  # recordings
    decoded_sec: Quantity = ZERO
    raw_bytes: Quantity = ZERO
    cut: Quantity = ZERO  # segments
    new_segments: NewSegmentTotals = NO_NEW_SEGMENTS


@dataclass(frozen=True, slots=True)
class RecordingAverages:
    """Averages over the recordings whose transcripts were read."""

    new_segments: NewSegmentTotals = NO_NEW_SEGMENTS  # per second of the recordings
    decoded: float = 0.0  # share of the recordings
    decoded_sec: float = 0.0  # share of their seconds
    raw_bytes: float = 0.0  # share of their bytes


def average_recordings(forecasts: Iterable[SegmentForecast]) -> RecordingAverages:
    read = [
        item
        for forecast in forecasts
        for item in forecast.recording_forecasts
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


def estimate_cutting(forecast: SegmentForecast, common: RecordingAverages) -> CuttingEstimate:
    """Sum over a batch; `common` is used for recordings whose transcripts were not read."""
    return sum((_estimate_recording(item, common) for item in forecast.recording_forecasts), CuttingEstimate())


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
    """Expected values of one line."""
    return NewSegmentTotals(
        1,
        new.size_bytes,
        new.keep_probability,
        new.keep_probability * new.seconds,
        new.keep_probability * new.size_bytes,
    )
