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
from voice_core.corpus.ingest.batch_repair import rebuild_batch, replace_damaged_batch
from voice_core.corpus.ingest.batches import (
    Batch,
    ChangeKind,
    Recording,
    assign_to_batches,
    list_batches,
    read_batches,
    read_tombstones,
    replace_batch,
    try_read_batches,
    with_header,
    write_batch,
)
from voice_core.corpus.ingest.recordings import (
    ListedRecording,
    RecordingListing,
    Stray,
    list_raw_recordings,
    probe_headers,
)
from voice_core.corpus.names import SEGMENTS
from voice_core.fingerprint import fingerprint
from voice_core.layout import PartitionKey, manifest_key, slug
from voice_core.settings import Settings
from voice_core.storage.store import ConflictError, Store

_PROBE_CHUNK = 256  # recordings whose headers are read between two looks at the clock
_MAX_ATTEMPTS = 20

RecordingId = tuple[str, str]  # (channel, audio_id)


@dataclass(frozen=True, slots=True)
class BatchChanges:
    """How many recordings of a batch are not as its last snapshot says."""

    new: int = 0
    changed: int = 0
    vanished: int = 0
    unreachable: int = 0  # the store would not show them last time
    forgotten: int = 0


@dataclass(frozen=True, slots=True)
class Discovery:
    """What the raw bucket holds, compared with the batches."""

    listing: RecordingListing
    batches: tuple[Batch, ...]
    new: int  # recordings that were assigned just now
    batch_changes: Mapping[PartitionKey, BatchChanges]  # batches whose snapshot no longer shows what the listing shows
    pending: tuple[ListedRecording, ...] = ()  # new recordings that there was no time for
    tombstones: frozenset[RecordingId] = field(default=frozenset(), repr=False)

    @property
    def changed(self) -> tuple[PartitionKey, ...]:
        return tuple(self.batch_changes)

    def listing_fingerprint(self, batch: Batch) -> str:
        """Fingerprint of what the listing shows of a batch: another one when something there changes."""
        return fingerprint([_listed_objects(item, self.listing, self.tombstones) for item in batch.recordings])

    def partitions_to_fill(self) -> set[PartitionKey]:
        """Open batches that recordings still wait for."""
        channels = {found.channel for found in self.pending}
        return {batch.partition for batch in self.batches if batch.channel in channels and not batch.sealed}


def _listed_objects(recording: Recording, listing: RecordingListing, tombstones: frozenset[RecordingId]) -> list[str]:
    name = (recording.channel, recording.audio_id)
    found = listing.recordings.get(name)
    if name in tombstones or found is None:
        return [recording.audio_id, "gone" if name in tombstones else "vanished"]
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
    deadline = time.monotonic() + budget_sec
    listing = list_raw_recordings(raw, settings)
    batch_index = _BatchIndex.read(work, {channel for channel, _ in listing.recordings}, read_only=read_only)
    batch_index.repair(raw, listing, settings)
    listing.strays.extend(batch_index.strays)
    listing.strays.extend(_find_adopted(batch_index.batches.values(), listing))
    tombstones = frozenset(read_tombstones(work))
    new_recordings = [
        found
        for name, found in listing.recordings.items()
        if name not in batch_index.assigned and name not in tombstones
    ]
    new = done = 0
    while done < len(new_recordings) and (done == 0 or time.monotonic() < deadline):
        group = new_recordings[done : done + _PROBE_CHUNK]
        new += _assign_new_recordings(raw, work, batch_index, group, settings)
        done += len(group)
    batches = tuple(batch_index.batches[partition] for partition in sorted(batch_index.batches))
    return Discovery(
        listing,
        batches,
        new,
        find_changed_batches(batches, listing, tombstones, settings),
        tuple(new_recordings[done:]),
        tombstones,
    )


def refresh_discovery(work: Store, discovery: Discovery, settings: Settings) -> Discovery:
    """The same listing, compared with the batches as they are now."""
    batches = tuple(read_batches(work, [batch.partition for batch in discovery.batches]))
    found = find_changed_batches(batches, discovery.listing, discovery.tombstones, settings)
    return Discovery(discovery.listing, batches, discovery.new, found, discovery.pending, discovery.tombstones)


def find_changed_batches(
    batches: Iterable[Batch], listing: RecordingListing, tombstones: frozenset[RecordingId], settings: Settings
) -> dict[PartitionKey, BatchChanges]:
    """The batches that need a new snapshot, and why. Pure."""
    found: dict[PartitionKey, BatchChanges] = {}
    for batch in batches:
        if settings.channels and batch.channel not in settings.channels:
            continue
        counts: dict[ChangeKind, int] = dict.fromkeys(("new", "changed", "vanished", "unreachable"), 0)
        forgotten = 0
        for item in batch.recordings:
            name = (item.channel, item.audio_id)
            if name in tombstones:
                forgotten += 1
            elif kind := item.change_since(listing.recordings.get(name)):
                counts[kind] += 1
        if forgotten or any(counts.values()):
            found[batch.partition] = BatchChanges(**counts, forgotten=forgotten)
    return found


def _find_adopted(batches: Iterable[Batch], listing: RecordingListing) -> Iterator[Stray]:
    for batch in batches:
        for item in batch.recordings:
            found = listing.recordings.get((item.channel, item.audio_id))
            if item.adopted is not None and found is not None:
                yield Stray(found.audio.key, f"segments of this recording were adopted from {item.adopted.url}")


class _BatchIndex:
    """All batches as far as they are known, and who is in one. With `read_only` nothing is written."""

    def __init__(self, work: Store, *, read_only: bool) -> None:
        self._work = work
        self._read_only = read_only
        self.batches: dict[PartitionKey, Batch] = {}
        self.assigned: set[RecordingId] = set()
        self.strays: list[Stray] = []
        self._damaged: set[PartitionKey] = set()  # or gone

    @classmethod
    def read(cls, work: Store, channels: Iterable[str], *, read_only: bool) -> "_BatchIndex":
        batch_index = cls(work, read_only=read_only)
        listed = list_batches(work)
        found = try_read_batches(work, [*listed.partitions, *listed.missing])
        batch_index.strays.extend([*listed.strays, *found.strays])
        batch_index.add(found.batches)
        batch_index._damaged |= found.damaged.keys() | (set(listed.missing) - batch_index.batches.keys())
        slugs = {slug(channel) for channel in channels} | {partition.channel for partition in listed.partitions}
        batch_index.read_unlisted(slugs)
        return batch_index

    def repair(self, raw: Store, listing: RecordingListing, settings: Settings) -> None:
        """Make the batches again whose files are damaged or gone."""
        for partition in sorted(self._damaged):
            channels = {batch.channel for batch in self.batches.values()} | {name for name, _ in listing.recordings}
            batch = rebuild_batch(raw, self._work, partition, listing, channels, settings)
            later = any(other.channel == partition.channel and other.number > partition.number for other in self._all())
            full = len(batch.recordings) >= settings.batch.max_recordings or batch.hours >= settings.batch.max_hours
            batch = dataclasses.replace(batch, sealed=later or full)
            self.add([replace_damaged_batch(self._work, batch) if not self._read_only else batch])
        self._damaged = set()

    def _all(self) -> set[PartitionKey]:
        return self.batches.keys() | self._damaged

    def add(self, batches: Iterable[Batch]) -> None:
        for batch in batches:
            self.batches[batch.partition] = batch
            self.assigned.update((item.channel, item.audio_id) for item in batch.recordings)

    def read_unlisted(self, channels: Iterable[str]) -> None:
        """Read the batches that the listing left out: gaps in the numbers, and what follows the last."""
        numbers: dict[str, set[int]] = {channel: set() for channel in channels}
        for partition in self._all():
            numbers.setdefault(partition.channel, set()).add(partition.number)
        wanted = [
            PartitionKey(channel, number)
            for channel, known in numbers.items()
            for number in sorted(set(range(1, max(known, default=0) + 2)) - known)
        ]
        found = try_read_batches(self._work, wanted)
        self.add(found.batches)
        built = self._built([partition for partition in wanted if partition not in self.batches])
        self._damaged |= found.damaged.keys() | built
        further = {batch.partition.channel for batch in found.batches} | {item.channel for item in built}
        if further:
            self.read_unlisted(further)

    def _built(self, partitions: Iterable[PartitionKey]) -> set[PartitionKey]:
        """Those of which segments were made: there was a batch."""
        by_key = {manifest_key(SEGMENTS, partition): partition for partition in partitions}
        there = self._work.map_keys(self._work.head, by_key)
        return {by_key[item.key] for item in there if item is not None}

    def write(self, batch: Batch) -> int:
        """Write a batch that got recordings; returns how many. Raises `ConflictError`."""
        before = self.batches.get(batch.partition)
        if not self._read_only:
            if before is None:
                write_batch(self._work, batch)
            else:
                replace_batch(self._work, batch, before)
        self.add([batch])
        return len(batch.recordings) - (len(before.recordings) if before else 0)


def _to_recording(found: ListedRecording, header: AudioInfo | str, settings: Settings) -> Recording:
    recording = Recording(found.channel, found.audio_id, found.audio.key, audio=found.audio)
    return dataclasses.replace(with_header(recording, header, settings.audio), audio=None)  # not snapshotted yet


def _assign_new_recordings(
    raw: Store, work: Store, batch_index: _BatchIndex, new_recordings: Sequence[ListedRecording], settings: Settings
) -> int:
    """Read the headers of new recordings and deal them to batches; returns how many were assigned here."""
    headers = probe_headers(raw, [found.audio.key for found in new_recordings], settings)
    recordings = [_to_recording(found, headers[found.audio.key], settings) for found in new_recordings]
    count = 0
    for attempt in range(1, _MAX_ATTEMPTS + 1):
        mine = [item for item in recordings if (item.channel, item.audio_id) not in batch_index.assigned]
        for batch in assign_to_batches(batch_index.batches.values(), mine, settings):
            try:
                count += batch_index.write(batch)
            except ConflictError:
                if attempt == _MAX_ATTEMPTS:
                    raise
                batch_index.add(read_batches(work, [batch.partition]))
                batch_index.read_unlisted([batch.partition.channel])
                break
        else:
            return count
    return count
