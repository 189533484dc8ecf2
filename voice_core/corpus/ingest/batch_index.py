"""The batches of a work root, and the assignment of new recordings to them.

Several processes may assign recordings at the same time, on listings that lag behind. A batch that a listing omits is
found by its number, a new batch file is written only where none exists, and a batch file is replaced only if it has not
changed since it was read. A process that loses such a race reads the batches again, so no recording is assigned twice.
"""

import dataclasses
from collections.abc import Iterable, Sequence

from voice_core.corpus.ingest.batch_model import Batch, Recording, assign_to_batches
from voice_core.corpus.ingest.batch_repair import rebuild_batch, replace_damaged_batch
from voice_core.corpus.ingest.batches import list_batches, read_batches, replace_batch, try_read_batches, write_batch
from voice_core.corpus.ingest.recordings import RecordingListing, Stray
from voice_core.corpus.names import SEGMENTS
from voice_core.layout import PartitionKey, manifest_key, slug
from voice_core.settings import Settings
from voice_core.storage.store import ConflictError, Store

_MAX_ATTEMPTS = 20

RecordingId = tuple[str, str]  # (channel, audio_id)


class BatchIndex:
    """The batches that are known so far, and the recordings assigned to them. With `read_only`, writes nothing."""

    def __init__(self, work: Store, *, read_only: bool) -> None:
        self._work = work
        self._read_only = read_only
        self.batches: dict[PartitionKey, Batch] = {}
        self.assigned: set[RecordingId] = set()
        self.strays: list[Stray] = []
        self._damaged: set[PartitionKey] = set()  # the batch file is damaged or missing

    @classmethod
    def read(cls, work: Store, channels: Iterable[str], *, read_only: bool = False) -> "BatchIndex":
        """Read all batches, including those of `channels` that the listing omits."""
        batch_index = cls(work, read_only=read_only)
        listed = list_batches(work)
        found = try_read_batches(work, [*listed.partitions, *listed.missing])
        batch_index.strays.extend([*listed.strays, *found.strays])
        batch_index._add(found.batches)
        batch_index._damaged |= found.damaged.keys() | (set(listed.missing) - batch_index.batches.keys())
        slugs = {slug(channel) for channel in channels} | {partition.channel for partition in listed.partitions}
        batch_index._read_unlisted(slugs)
        return batch_index

    def repair(self, raw: Store, listing: RecordingListing, settings: Settings) -> None:
        """Rebuild the batches whose files are damaged or missing. Raises `DamagedStateError` if that is impossible."""
        for partition in sorted(self._damaged):
            channels = {batch.channel for batch in self.batches.values()} | {name for name, _ in listing.recordings}
            batch = rebuild_batch(raw, self._work, partition, listing, channels, settings)
            later = any(other.channel == partition.channel and other.number > partition.number for other in self._all())
            full = len(batch.recordings) >= settings.batch.max_recordings or batch.hours >= settings.batch.max_hours
            batch = dataclasses.replace(batch, sealed=later or full)
            self._add([replace_damaged_batch(self._work, batch) if not self._read_only else batch])
        self._damaged = set()

    def assign(self, recordings: Sequence[Recording], settings: Settings) -> int:
        """Assign new recordings to batches; returns how many this process assigned. Raises `ConflictError`."""
        count = 0
        for attempt in range(1, _MAX_ATTEMPTS + 1):
            mine = [item for item in recordings if (item.channel, item.audio_id) not in self.assigned]
            for batch in assign_to_batches(self.batches.values(), mine, settings):
                try:
                    count += self._write(batch)
                except ConflictError:
                    if attempt == _MAX_ATTEMPTS:
                        raise
                    self._add(read_batches(self._work, [batch.partition]))
                    self._read_unlisted([batch.partition.channel])
                    break
            else:
                return count
        return count

    def _all(self) -> set[PartitionKey]:
        return self.batches.keys() | self._damaged

    def _add(self, batches: Iterable[Batch]) -> None:
        for batch in batches:
            self.batches[batch.partition] = batch
            self.assigned.update((item.channel, item.audio_id) for item in batch.recordings)

    def _read_unlisted(self, channels: Iterable[str]) -> None:
        """Read the batches that the listing omits: gaps in the numbers, and numbers after the last one."""
        numbers: dict[str, set[int]] = {channel: set() for channel in channels}
        for partition in self._all():
            numbers.setdefault(partition.channel, set()).add(partition.number)
        wanted = [
            PartitionKey(channel, number)
            for channel, known in numbers.items()
            for number in sorted(set(range(1, max(known, default=0) + 2)) - known)
        ]
        found = try_read_batches(self._work, wanted)
        self._add(found.batches)
        segmented = self._find_segmented([partition for partition in wanted if partition not in self.batches])
        self._damaged |= found.damaged.keys() | segmented
        further = {batch.partition.channel for batch in found.batches} | {item.channel for item in segmented}
        if further:
            self._read_unlisted(further)

    def _find_segmented(self, partitions: Iterable[PartitionKey]) -> set[PartitionKey]:
        """The partitions that have a manifest of segments: their batch file existed."""
        by_key = {manifest_key(SEGMENTS, partition): partition for partition in partitions}
        there = self._work.map_keys(self._work.head, by_key)
        return {by_key[item.key] for item in there if item is not None}

    def _write(self, batch: Batch) -> int:
        """Write a batch with new recordings; returns how many. Raises `ConflictError`."""
        before = self.batches.get(batch.partition)
        if not self._read_only:
            if before is None:
                write_batch(self._work, batch)
            else:
                replace_batch(self._work, batch, before)
        self._add([batch])
        return len(batch.recordings) - (len(before.recordings) if before else 0)
