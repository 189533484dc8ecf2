"""Which batches a sensor requests runs for, and when it retries. Plain values in and out, no Dagster."""

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

_FIRST_WAIT_SEC = 15 * 60.0
_LONGEST_WAIT_SEC = 24 * 3600.0


@dataclass(frozen=True, slots=True)
class RunAttempt:
    """A requested run: the batch as the listing showed it, when (Unix time), and how often so far."""

    listing_fingerprint: str
    requested_at: float
    attempts: int

    @property
    def retry_at(self) -> float:
        """When a batch that failed is requested again although it did not change."""
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
    """The requests whose batch was not built yet, or is still in a run.

    `news` maps batches that differ from their snapshot to their fingerprint in the listing now; `busy` are in a run;
    `built` has the time at which a batch was last built completely.
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
    """What to request now: changed batches at once, failed ones after their waiting time."""
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
    """Groups of at most `most` keys that follow one another in `order`: Dagster takes ranges only.

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


def group_runs(
    todo: Mapping[str, Sequence[str]], order: Sequence[str], most: int
) -> Iterator[tuple[list[str], list[str]]]:
    """Runs for batches and the assets that each needs: the batches of a run need the same assets.

    >>> list(group_runs({"a": ["x"], "b": ["x"], "d": ["x"]}, ["a", "b", "c", "d"], 2))
    [(['a', 'b'], ['x']), (['d'], ['x'])]
    >>> list(group_runs({"a": ["x"], "b": ["y"]}, ["a", "b"], 1))
    [(['a'], ['x']), (['b'], ['y'])]
    """
    if most == 1:
        yield from (([key], list(assets)) for key, assets in todo.items())
        return
    for assets in dict.fromkeys(map(tuple, todo.values())):
        same = {key for key, wanted in todo.items() if tuple(wanted) == assets}
        yield from ((keys, list(assets)) for keys in group_contiguous(same, order, most))
