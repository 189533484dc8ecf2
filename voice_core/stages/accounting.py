"""Every sample of a recording is assigned to exactly one row."""

import heapq
import itertools
from collections.abc import Sequence
from typing import NamedTuple


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
