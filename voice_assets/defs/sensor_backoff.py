"""Which batches a sensor asks runs for, and when it asks again. Plain values in and out; Dagster is at the rim."""

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

_FIRST_WAIT_SEC = 15 * 60.0
_LONGEST_WAIT_SEC = 24 * 3600.0


@dataclass(frozen=True, slots=True)
class RunAttempt:
    """What was asked for: the batch as the listing showed it, when (Unix time), and how often so far."""

    listing_fingerprint: str
    requested_at: float
    attempts: int

    @property
    def retry_at(self) -> float:
        """When a batch that failed is asked for again though nothing about it changed."""
        return self.requested_at + min(_FIRST_WAIT_SEC * 2 ** (self.attempts - 1), _LONGEST_WAIT_SEC)


def read_cursor(cursor: str | None) -> dict[str, RunAttempt]:
    """
    >>> read_cursor(write_cursor({"news/batch-0001": RunAttempt("abc", 1.5, 2)}))
    {'news/batch-0001': RunAttempt(listing_fingerprint='abc', requested_at=1.5, attempts=2)}
    >>> read_cursor(None)
    {}
    """
    return {key: RunAttempt(*value) for key, value in json.loads(cursor or "{}").items()}


def write_cursor(asked: Mapping[str, RunAttempt]) -> str:
    return json.dumps(
        {key: [item.listing_fingerprint, item.requested_at, item.attempts] for key, item in asked.items()},
        ensure_ascii=False,
    )


def filter_unresolved(
    asked: Mapping[str, RunAttempt], news: Mapping[str, str], busy: Collection[str], built: Mapping[str, float]
) -> dict[str, RunAttempt]:
    """What was asked for and did not come of it, or is still on its way.

    `news` maps batches that are not as their snapshot to what the listing shows of them now; `busy` are in a run;
    `built` says when a batch was last built to the end.
    """
    return {
        key: item
        for key, item in asked.items()
        if key in busy
        or (key in news and news[key] == item.listing_fingerprint)
        or (key not in news and built.get(key, 0) < item.requested_at)
    }


def select_due(
    asked: Mapping[str, RunAttempt], news: Mapping[str, str], busy: Collection[str], now: float
) -> dict[str, RunAttempt]:
    """What to ask for now: news at once, what failed again after a while; with how often that makes it."""
    found: dict[str, RunAttempt] = {}
    for key in sorted({*asked, *news}):
        before = asked.get(key)
        if key in busy:
            continue
        if before is None:
            found[key] = RunAttempt(news[key], now, 1)
        elif now >= before.retry_at:
            found[key] = RunAttempt(before.listing_fingerprint, now, before.attempts + 1)
    return found


def group_contiguous(keys: Collection[str], order: Sequence[str], most: int) -> Iterator[list[str]]:
    """Runs of at most `most` keys that follow one another in `order`: Dagster takes ranges only.

    >>> list(group_contiguous({"a", "b", "c", "e"}, ["a", "b", "c", "d", "e"], 2))
    [['a', 'b'], ['c'], ['e']]
    """
    group: list[str] = []
    for key in order:
        if key in keys and len(group) < most:
            group.append(key)
            continue
        if group:
            yield group
        group = [key] if key in keys else []
    if group:
        yield group
