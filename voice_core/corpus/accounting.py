"""Accounts for every sample of a recording: each belongs to exactly one row of the manifest."""

import dataclasses
import heapq
import itertools
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from voice_core.corpus.manifest import Entry


class Span(NamedTuple):
    """Samples `start` to `stop`, claimed with a rank. Of several claims the one with the lowest rank counts."""

    start: int
    stop: int
    rank: int


def assign_samples(total: int, spans: Sequence[Span]) -> tuple[list[int], int, int]:
    """Assign `total` samples to spans.

    Returns each span's count, the unclaimed count, and the longest unclaimed stretch.

    >>> assign_samples(10, [Span(0, 4, 1), Span(2, 6, 0), Span(8, 99, 2)])
    ([2, 4, 2], 2, 2)
    """
    counts = [0] * len(spans)
    clipped = [(max(0, span.start), min(total, span.stop)) for span in spans]
    begins = sorted((start, i) for i, (start, stop) in enumerate(clipped) if start < stop)
    edges = sorted({0, total, *(edge for bounds in clipped if bounds[0] < bounds[1] for edge in bounds)})
    open_spans: list[tuple[int, int]] = []  # (rank, index)
    unclaimed = longest = stretch = 0
    at = 0
    for low, high in itertools.pairwise(edges):
        while at < len(begins) and begins[at][0] <= low:
            index = begins[at][1]
            heapq.heappush(open_spans, (spans[index].rank, index))
            at += 1
        while open_spans and clipped[open_spans[0][1]][1] <= low:
            heapq.heappop(open_spans)
        if open_spans:
            counts[open_spans[0][1]] += high - low
            stretch = 0
        else:
            unclaimed += high - low
            stretch += high - low
            longest = max(longest, stretch)
    return counts, unclaimed, longest


def account_for_samples(entries: Iterable[Entry], audio_id: str, total: int, sample_rate_hz: int) -> tuple[Entry, ...]:
    """The rows of one recording with `sample_count` set so that they add up to `total`.

    Audio that was cut belongs to its line. What remains of the time of a line that was not cut belongs to that line,
    the first in time where several claim it. The remainder is one more row, of kind "rest".
    """
    rows = sorted(
        (entry for entry in entries if entry.kind == "line"), key=lambda entry: (entry.start_sec or 0.0, entry.index)
    )
    spans = []
    for rank, entry in enumerate(rows, start=len(rows)):
        if entry.cut_start is not None and entry.cut_stop is not None:
            spans.append(Span(entry.cut_start, entry.cut_stop, rank - len(rows)))
        elif entry.start_sec is not None and entry.end_sec is not None:
            spans.append(
                Span(
                    _to_sample(entry.start_sec, total, sample_rate_hz),
                    _to_sample(entry.end_sec, total, sample_rate_hz),
                    rank,
                )
            )
        else:
            spans.append(Span(0, 0, rank))
    counts, unclaimed, longest = assign_samples(total, spans)
    result = [dataclasses.replace(entry, sample_count=count) for entry, count in zip(rows, counts, strict=True)]
    if unclaimed:
        message = f"the longest stretch has {longest / sample_rate_hz:.1f} s"
        rest = Entry(
            "rest", audio_id, sample_count=unclaimed, stage="transcript", reason="not_transcribed", message=message
        )
        result.append(rest)
    return tuple(result)


def _to_sample(seconds: float, total: int, sample_rate_hz: int) -> int:
    return round(min(max(seconds, 0.0), total / sample_rate_hz + 1.0) * sample_rate_hz)
