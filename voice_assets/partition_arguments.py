"""Partition keys that are given to a command."""

from collections.abc import Collection, Sequence

from voice_core.layout import PartitionKey


def parse_partitions(keys: Sequence[str], known: Collection[PartitionKey]) -> list[PartitionKey]:
    """The partitions with these keys. Raises ValueError for an invalid key, LookupError for unknown partitions.

    >>> parse_partitions(["news/batch-0002"], [PartitionKey("news", 1)])
    Traceback (most recent call last):
    LookupError: there is no partition news/batch-0002; `voice status` lists them
    """
    found = [PartitionKey.parse(key) for key in keys]
    unknown = sorted(set(found) - set(known))
    if unknown:
        raise LookupError(f"there is no partition {', '.join(map(str, unknown))}; `voice status` lists them")
    return found
