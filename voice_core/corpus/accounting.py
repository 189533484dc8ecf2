"""Accounts for every sample of a recording: each belongs to exactly one row of the manifest."""

import dataclasses
from collections.abc import Iterable

from voice_core.corpus.manifest import Entry
from voice_core.stages.accounting import Span, assign_samples


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
