"""Edits of a text: parts that are spoken in other words, with their positions in both texts."""

from bisect import bisect_left
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

Span = tuple[int, int]
"""Start and end of a part of a text."""


@dataclass(frozen=True, slots=True, order=True)
class Edit:
    """`text[start:end]` is spoken as `spoken`."""

    start: int
    end: int
    spoken: str


Normaliser = Callable[[str], list[Edit]]
"""Finds the edits of a text: sorted, without overlaps."""


def sort_edits(edits: Iterable[Edit]) -> list[Edit]:
    """Sorted, without those that overlap an earlier one, and without those that change nothing.

    >>> sort_edits([Edit(4, 6, "b"), Edit(0, 5, "a")])
    [Edit(start=0, end=5, spoken='a')]
    """
    result: list[Edit] = []
    for edit in sorted(edits, key=lambda item: (item.start, -item.end)):
        if edit.start < edit.end and (not result or edit.start >= result[-1].end):
            result.append(edit)
    return result


def merge_edits(text: str, first: Sequence[Edit], normalise: Normaliser) -> list[Edit]:
    """The edits `first`, and those that `normalise` finds in the rest of the text.

    Where `normalise` would change more than one of the first edits leaves free, it is asked again about that rest.
    """
    result = list(first)
    starts = [edit.start for edit in first]
    for edit in normalise(text):
        near = first[max(0, bisect_left(starts, edit.start) - 1) :]
        inside = [item for item in near if item.start < edit.end and edit.start < item.end]
        if not inside:
            result.append(edit)
            continue
        at = edit.start
        for left, right in [*((item.start, item.end) for item in inside), (edit.end, edit.end)]:
            if at < left:
                part = text[at:left]
                result += [Edit(at + item.start, at + item.end, item.spoken) for item in normalise(part)]
            at = max(at, right)
    return sort_edits(result)


def apply_edits(text: str, edits: Sequence[Edit]) -> tuple[str, list[list[int]]]:
    """The spoken text, and its map: [start, end, spoken start, spoken end] of each edit.

    >>> apply_edits("5 km, e.g.", [Edit(0, 1, "five"), Edit(6, 10, "for example")])
    ('five km, for example', [[0, 1, 0, 4], [6, 10, 9, 20]])
    """
    parts: list[str] = []
    spans: list[list[int]] = []
    at = size = 0
    for edit in edits:
        unchanged = text[at : edit.start]
        begin = size + len(unchanged)
        size = begin + len(edit.spoken)
        parts += (unchanged, edit.spoken)
        spans.append([edit.start, edit.end, begin, size])
        at = edit.end
    parts.append(text[at:])
    return "".join(parts), spans


def find_map_problem(text: str, spoken: str, spans: Sequence[Sequence[int]]) -> str:
    """What is wrong with a map between two texts; "" where both are equal outside of its spans.

    >>> find_map_problem("5 km", "five km", [[0, 1, 0, 4]]), find_map_problem("5 km", "five m", [[0, 1, 0, 4]])
    ('', 'the texts differ after position 1')
    """
    at = spoken_at = 0
    for start, end, spoken_start, spoken_end in [*spans, (len(text), len(text), len(spoken), len(spoken))]:
        if not (at <= start <= end <= len(text) and spoken_at <= spoken_start <= spoken_end <= len(spoken)):
            return f"the span at position {start} is out of order"
        if text[at:start] != spoken[spoken_at:spoken_start]:
            return f"the texts differ after position {at}"
        at, spoken_at = end, spoken_end
    return ""
