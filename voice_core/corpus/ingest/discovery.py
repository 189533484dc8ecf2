"""Discovery: what the raw bucket holds, compared with the batches, and new recordings dealt to them.

Any number of discoveries may run at once, on listings that lag behind. A batch that a listing hides is found by its
number, a new one is only written where there is none, and a grown one only over the one that was read; whoever comes
late reads again. So a recording is never assigned twice.
"""

import dataclasses
import math
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from voice_core.audio.decoding import AudioInfo
from voice_core.corpus.ingest.batch_repair import put_rebuilt, rebuild_batch
from voice_core.corpus.ingest.batches import (
    Batch,
    News,
    Recording,
    assign,
    described,
    find_batches,
    list_batches,
    read_batches,
    read_tombstones,
    replace_batch,
    write_batch,
)
from voice_core.corpus.ingest.recordings import Found, Listing, Stray, list_raw, probe_all
from voice_core.corpus.names import SEGMENTS
from voice_core.fingerprint import fingerprint
from voice_core.layout import PartitionKey, manifest_key, slug
from voice_core.settings import Settings
from voice_core.storage.store import ConflictError, Store

_GROUP = 256  # recordings whose headers are read between two looks at the clock
_TRIES = 20

Name = tuple[str, str]  # (channel, audio_id)


@dataclass(frozen=True, slots=True)
class Change:
    """How many recordings of a batch are not as its last snapshot says."""

    new: int = 0
    changed: int = 0
    vanished: int = 0
    troubled: int = 0  # the store would not show them last time
    forgotten: int = 0


@dataclass(frozen=True, slots=True)
class Discovery:
    """What the raw bucket holds, compared with the batches."""

    listing: Listing
    batches: tuple[Batch, ...]
    new: int  # recordings that were assigned just now
    changes: Mapping[PartitionKey, Change]  # batches whose snapshot no longer shows what the listing shows
    waiting: tuple[Found, ...] = ()  # new recordings that there was no time for
    gone: frozenset[Name] = field(default=frozenset(), repr=False)

    @property
    def changed(self) -> tuple[PartitionKey, ...]:
        return tuple(self.changes)

    def sight(self, batch: Batch) -> str:
        """Fingerprint of what the listing shows of a batch: another one when something there changes."""
        return fingerprint([_sight(item, self.listing, self.gone) for item in batch.recordings])

    def filling(self) -> set[PartitionKey]:
        """Open batches that recordings still wait for."""
        channels = {found.channel for found in self.waiting}
        return {batch.partition for batch in self.batches if batch.channel in channels and not batch.sealed}


def _sight(recording: Recording, listing: Listing, gone: frozenset[Name]) -> list[str]:
    name = (recording.channel, recording.audio_id)
    found = listing.recordings.get(name)
    if name in gone or found is None:
        return [recording.audio_id, "gone" if name in gone else "vanished"]
    objects = (found.audio, *found.others, *([found.transcript] if found.transcript else []))
    return [recording.audio_id, *(f"{item.key} {item.identity}" for item in objects)]


def discover(
    raw: Store, work: Store, settings: Settings, *, budget_sec: float = math.inf, read_only: bool = False
) -> Discovery:
    """List the raw bucket, assign new recordings to batches, and say which batches need a new snapshot.

    After `budget_sec` no more headers are read: the rest of the new recordings wait for the next discovery, and the
    batches end up as if one had dealt with all of them. With `read_only` the result is the same, and the batches that
    got recordings are not written.
    """
    until = time.monotonic() + budget_sec
    listing = list_raw(raw, settings)
    roll = _Roll.read(work, {channel for channel, _ in listing.recordings}, read_only=read_only)
    roll.repair(raw, listing, settings)
    listing.strays.extend(roll.strays)
    listing.strays.extend(_adopted_already(roll.batches.values(), listing))
    gone = frozenset(read_tombstones(work))
    newcomers = [found for name, found in listing.recordings.items() if name not in roll.assigned and name not in gone]
    new = done = 0
    while done < len(newcomers) and (done == 0 or time.monotonic() < until):
        group = newcomers[done : done + _GROUP]
        new += _enlist(raw, work, roll, group, settings)
        done += len(group)
    batches = tuple(roll.batches[partition] for partition in sorted(roll.batches))
    return Discovery(listing, batches, new, changes(batches, listing, gone, settings), tuple(newcomers[done:]), gone)


def look_again(work: Store, discovery: Discovery, settings: Settings) -> Discovery:
    """The same listing, compared with the batches as they are now."""
    batches = tuple(read_batches(work, [batch.partition for batch in discovery.batches]))
    found = changes(batches, discovery.listing, discovery.gone, settings)
    return Discovery(discovery.listing, batches, discovery.new, found, discovery.waiting, discovery.gone)


def changes(
    batches: Iterable[Batch], listing: Listing, gone: frozenset[Name], settings: Settings
) -> dict[PartitionKey, Change]:
    """The batches that need a new snapshot, and why. Pure."""
    found: dict[PartitionKey, Change] = {}
    for batch in batches:
        if settings.channels and batch.channel not in settings.channels:
            continue
        counts: dict[News, int] = dict.fromkeys(("new", "changed", "vanished", "troubled"), 0)
        forgotten = 0
        for item in batch.recordings:
            name = (item.channel, item.audio_id)
            if name in gone:
                forgotten += 1
            elif news := item.news(listing.recordings.get(name)):
                counts[news] += 1
        if forgotten or any(counts.values()):
            found[batch.partition] = Change(**counts, forgotten=forgotten)
    return found


def _adopted_already(batches: Iterable[Batch], listing: Listing) -> Iterator[Stray]:
    for batch in batches:
        for item in batch.recordings:
            found = listing.recordings.get((item.channel, item.audio_id))
            if item.adopted is not None and found is not None:
                yield Stray(found.audio.key, f"segments of this recording were adopted from {item.adopted.url}")


class _Roll:
    """All batches as far as they are known, and who is in one. With `read_only` nothing is written."""

    def __init__(self, work: Store, *, read_only: bool) -> None:
        self._work = work
        self._read_only = read_only
        self.batches: dict[PartitionKey, Batch] = {}
        self.assigned: set[Name] = set()
        self.strays: list[Stray] = []
        self._damaged: set[PartitionKey] = set()  # or gone

    @classmethod
    def read(cls, work: Store, channels: Iterable[str], *, read_only: bool) -> "_Roll":
        roll = cls(work, read_only=read_only)
        listed = list_batches(work)
        found = find_batches(work, [*listed.partitions, *listed.lost])
        roll.strays.extend([*listed.strays, *found.strays])
        roll.note(found.batches)
        roll._damaged |= found.damaged.keys() | (set(listed.lost) - roll.batches.keys())
        slugs = {slug(channel) for channel in channels} | {partition.channel for partition in listed.partitions}
        roll.find_hidden(slugs)
        return roll

    def repair(self, raw: Store, listing: Listing, settings: Settings) -> None:
        """Make the batches again whose files are damaged or gone."""
        for partition in sorted(self._damaged):
            channels = {batch.channel for batch in self.batches.values()} | {name for name, _ in listing.recordings}
            batch = rebuild_batch(raw, self._work, partition, listing, channels, settings)
            later = any(other.channel == partition.channel and other.number > partition.number for other in self._all())
            full = len(batch.recordings) >= settings.batch.max_recordings or batch.hours >= settings.batch.max_hours
            batch = dataclasses.replace(batch, sealed=later or full)
            self.note([put_rebuilt(self._work, batch) if not self._read_only else batch])
        self._damaged = set()

    def _all(self) -> set[PartitionKey]:
        return self.batches.keys() | self._damaged

    def note(self, batches: Iterable[Batch]) -> None:
        for batch in batches:
            self.batches[batch.partition] = batch
            self.assigned.update((item.channel, item.audio_id) for item in batch.recordings)

    def find_hidden(self, channels: Iterable[str]) -> None:
        """Read the batches that the listing left out: gaps in the numbers, and what follows the last."""
        numbers: dict[str, set[int]] = {channel: set() for channel in channels}
        for partition in self._all():
            numbers.setdefault(partition.channel, set()).add(partition.number)
        wanted = [
            PartitionKey(channel, number)
            for channel, known in numbers.items()
            for number in sorted(set(range(1, max(known, default=0) + 2)) - known)
        ]
        found = find_batches(self._work, wanted)
        self.note(found.batches)
        built = self._built([partition for partition in wanted if partition not in self.batches])
        self._damaged |= found.damaged.keys() | built
        further = {batch.partition.channel for batch in found.batches} | {item.channel for item in built}
        if further:
            self.find_hidden(further)

    def _built(self, partitions: Iterable[PartitionKey]) -> set[PartitionKey]:
        """Those of which segments were made: there was a batch."""
        by_key = {manifest_key(SEGMENTS, partition): partition for partition in partitions}
        there = self._work.each(self._work.head, by_key)
        return {by_key[item.key] for item in there if item is not None}

    def write(self, batch: Batch) -> int:
        """Write a batch that got recordings; returns how many. Raises `ConflictError`."""
        before = self.batches.get(batch.partition)
        if not self._read_only:
            if before is None:
                write_batch(self._work, batch)
            else:
                replace_batch(self._work, batch, before)
        self.note([batch])
        return len(batch.recordings) - (len(before.recordings) if before else 0)


def _assignable(found: Found, header: AudioInfo | str, settings: Settings) -> Recording:
    recording = Recording(found.channel, found.audio_id, found.audio.key, audio=found.audio)
    return dataclasses.replace(described(recording, header, settings.audio), audio=None)  # not snapshotted yet


def _enlist(raw: Store, work: Store, roll: _Roll, newcomers: Sequence[Found], settings: Settings) -> int:
    """Read the headers of new recordings and deal them to batches; returns how many were assigned here."""
    headers = probe_all(raw, [found.audio.key for found in newcomers], settings)
    recordings = [_assignable(found, headers[found.audio.key], settings) for found in newcomers]
    count = 0
    for attempt in range(1, _TRIES + 1):
        mine = [item for item in recordings if (item.channel, item.audio_id) not in roll.assigned]
        for batch in assign(roll.batches.values(), mine, settings):
            try:
                count += roll.write(batch)
            except ConflictError:
                if attempt == _TRIES:
                    raise
                roll.note(read_batches(work, [batch.partition]))
                roll.find_hidden([batch.partition.channel])
                break
        else:
            return count
    return count
