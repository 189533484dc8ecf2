"""The batches of a work root, and the assignment of new recordings to them.

Several processes may assign recordings at the same time, on listings that lag behind. A batch that a listing omits is
found by its number, a new batch file is written only where none exists, and a batch file is replaced only if it has not
changed since it was read. A process that loses such a race reads the batches again, so no recording is assigned twice.

A damaged or missing batch file is rebuilt from the batch's manifests and the raw bucket. Otherwise its recordings would
be assigned to another batch, and the segments of recordings that vanished from the raw bucket would be removed.
"""

import contextlib
import dataclasses
import logging
from collections.abc import Collection, Iterable, Iterator, Sequence
from urllib.parse import unquote

from voice_core.corpus.ingest.batch_model import Batch, Recording, assign_to_batches, with_header
from voice_core.corpus.ingest.batches import (
    list_batches,
    parse_batch,
    read_batch,
    read_batches,
    replace_batch,
    try_read_batches,
    write_batch,
)
from voice_core.corpus.ingest.recordings import RecordingListing, Stray, probe_headers
from voice_core.corpus.manifest import Manifest, load_manifest, read_manifest
from voice_core.corpus.names import CODED, SEGMENTS
from voice_core.layout import DatasetLayout, PartitionKey, batch_key, manifest_key, slug, stage_prefix
from voice_core.settings import Settings
from voice_core.storage.distributed_lock import hold_lock
from voice_core.storage.state_files import DamagedStateError
from voice_core.storage.store import ConflictError, Store

_MAX_ATTEMPTS = 20
_log = logging.getLogger(__name__)

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
            batch = _rebuild_batch(raw, self._work, partition, listing, channels, settings)
            later = any(other.channel == partition.channel and other.number > partition.number for other in self._all())
            full = len(batch.recordings) >= settings.batch.max_recordings or batch.hours >= settings.batch.max_hours
            batch = dataclasses.replace(batch, sealed=later or full)
            self._add([_replace_damaged_batch(self._work, batch) if not self._read_only else batch])
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


def _rebuild_batch(
    raw: Store,
    work: Store,
    partition: PartitionKey,
    listing: RecordingListing,
    channels: Collection[str],
    settings: Settings,
) -> Batch:
    """The batch as its manifests list it; an empty batch if no stage has processed it. Writes nothing.

    `channels` are the known channel names. The next snapshot adds the details of the raw objects.

    Raises `DamagedStateError` if the manifests are not sufficient: the recordings were adopted, or the batch has files
    but no readable manifest.
    """
    key = batch_key(partition)
    channel = _find_channel(partition.channel, channels)
    manifest = next(_read_manifests(work, partition, settings), None)
    if channel is None or (manifest is None and _has_files(work, partition)):
        what = "no manifest of the batch can be read" if channel else "the name of its channel is unknown"
        folders = " and ".join(_prefixes(partition))
        remedy = f"Restore it from a backup, or delete it and the folders {folders} to rebuild the batch"
        raise DamagedStateError(work, key, f"is damaged or missing, and {what}", remedy)
    if manifest is None:
        return Batch(channel, partition.number)
    adopted = {entry.audio_id for entry in manifest.files() if entry.cut_start is None}
    if adopted:
        names = ", ".join(sorted(adopted)[:5])
        why = f"is damaged or missing, and no other file records the source of its adopted recordings ({names})"
        raise DamagedStateError(work, key, why, "Restore it from a backup")
    recordings = []
    for outcome in manifest.recordings:
        found = listing.recordings.get((channel, outcome.audio_id))
        there = [item.key for item in (found.audio, *found.others)] if found is not None else []
        raw_key = outcome.raw_key if outcome.raw_key in there or not there else there[0]
        vanished = not there and raw.head(raw_key) is None  # VOICE_CHANNELS restricts the listing
        recordings.append(Recording(channel, outcome.audio_id, raw_key, vanished=vanished))
    headers = probe_headers(raw, [item.key for item in recordings if not item.vanished], settings)
    known = tuple(
        with_header(item, headers[item.key], settings.audio) if item.key in headers else item for item in recordings
    )
    return Batch(channel, partition.number, recordings=known)


def _replace_damaged_batch(work: Store, batch: Batch) -> Batch:
    """Write a batch in place of a damaged or missing file; returns the stored batch.

    If another process has written the file already, its batch is kept.
    """
    key = batch_key(batch.partition)
    try:
        local = work.local_root is not None
        with hold_lock(work, f"batches {batch.channel}") if local else contextlib.nullcontext(work) as work:
            info, data = work.head(key), work.find(key)
            if info is None or data is None:
                work.put(key, batch.to_bytes(), if_absent=True)
            else:
                with contextlib.suppress(DamagedStateError):
                    return parse_batch(work, batch.partition, data)
                work.put(key, batch.to_bytes(), if_unchanged=info)
    except ConflictError:
        return read_batch(work, batch.partition)
    _log.warning("%s/%s was damaged or missing; rebuilt, recordings: %d", work.url, key, len(batch.recordings))
    return batch


def _read_manifests(work: Store, partition: PartitionKey, settings: Settings) -> Iterator[Manifest]:
    """The readable manifests of the batch. Complete manifests, which list all its recordings, come first."""
    readers = (
        lambda: read_manifest(work, SEGMENTS, partition, lazily=True),
        lambda: read_manifest(work, CODED, partition, lazily=True),
        lambda: load_manifest(work, DatasetLayout(settings.dataset).manifest_key(partition), lazily=True),
    )
    partial = []
    for read in readers:
        manifest = read()
        if manifest is not None and manifest.complete:
            yield manifest
        elif manifest is not None:
            partial.append(manifest)
    yield from partial


def _has_files(work: Store, partition: PartitionKey) -> bool:
    return any(next(iter(work.listing(folder)), None) is not None for folder in _prefixes(partition))


def _prefixes(partition: PartitionKey) -> list[str]:
    return [stage_prefix(stage, partition) for stage in (SEGMENTS, CODED)]


def _find_channel(name: str, channels: Collection[str]) -> str | None:
    """The channel with this slug: a known one, or the decoded slug. Different names have different slugs."""
    known = {slug(channel): channel for channel in channels}
    spelt = unquote(name, errors="surrogatepass")
    return known.get(name) or (spelt if slug(spelt) == name else None)
