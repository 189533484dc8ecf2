"""Discovery: compare the raw bucket with the batches and assign new recordings to batches."""

import dataclasses
import math
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from voice_core.audio.header import AudioInfo
from voice_core.corpus.ingest.batch_index import BatchIndex, RecordingId
from voice_core.corpus.ingest.batch_model import Batch, ChangeKind, Recording, with_header
from voice_core.corpus.ingest.batches import read_batches
from voice_core.corpus.ingest.recordings import (
    ListedRecording,
    RecordingListing,
    Stray,
    list_raw_recordings,
    probe_headers,
)
from voice_core.corpus.ingest.tombstones import read_tombstones
from voice_core.fingerprint import fingerprint
from voice_core.layout import PartitionKey
from voice_core.settings import Settings
from voice_core.storage.store import Store

_PROBE_CHUNK = 256  # headers read between two checks of the time budget


@dataclass(frozen=True, slots=True)
class BatchChanges:
    """Number of a batch's recordings that differ from its last snapshot."""

    new: int = 0
    changed: int = 0
    vanished: int = 0
    unreachable: int = 0  # the store returned an error at the last snapshot
    forgotten: int = 0


@dataclass(frozen=True, slots=True)
class Discovery:
    """The content of the raw bucket, compared with the batches."""

    listing: RecordingListing
    batches: tuple[Batch, ...]
    new: int  # recordings that this discovery assigned
    batch_changes: Mapping[PartitionKey, BatchChanges]  # batches that need a new snapshot
    pending: tuple[ListedRecording, ...] = ()  # new recordings that the time budget left out
    tombstones: frozenset[RecordingId] = field(default=frozenset(), repr=False)

    @property
    def changed(self) -> tuple[PartitionKey, ...]:
        return tuple(self.batch_changes)

    def listing_fingerprint(self, batch: Batch) -> str:
        """Fingerprint of the batch's objects in the listing; it changes when one of them changes."""
        return fingerprint([_listed_objects(item, self.listing, self.tombstones) for item in batch.recordings])

    def partitions_to_fill(self) -> set[PartitionKey]:
        """Open batches of channels that have pending recordings."""
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
    """List the raw bucket, assign new recordings to batches, and find the batches that need a new snapshot.

    After `budget_sec` no more headers are read: the remaining recordings are left for the next discovery, and the
    batches end up the same as after one discovery without a budget. With `read_only`, the result is the same but no
    batch file is written.
    """
    deadline = time.monotonic() + budget_sec
    listing = list_raw_recordings(raw, settings)
    batch_index = BatchIndex.read(work, {channel for channel, _ in listing.recordings}, read_only=read_only)
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
        headers = probe_headers(raw, [found.audio.key for found in group], settings)
        new += batch_index.assign(
            [_to_recording(found, headers[found.audio.key], settings) for found in group], settings
        )
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
    """Compare the same listing with the batches as they are now."""
    batches = tuple(read_batches(work, [batch.partition for batch in discovery.batches]))
    found = find_changed_batches(batches, discovery.listing, discovery.tombstones, settings)
    return Discovery(discovery.listing, batches, discovery.new, found, discovery.pending, discovery.tombstones)


def find_changed_batches(
    batches: Iterable[Batch], listing: RecordingListing, tombstones: frozenset[RecordingId], settings: Settings
) -> dict[PartitionKey, BatchChanges]:
    """The batches that need a new snapshot, with the changes. Pure."""
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
    """Raw recordings that are not cut because their segments were adopted."""
    for batch in batches:
        for item in batch.recordings:
            found = listing.recordings.get((item.channel, item.audio_id))
            if item.adopted is not None and found is not None:
                yield Stray(found.audio.key, f"segments of this recording were adopted from {item.adopted.url}")


def _to_recording(found: ListedRecording, header: AudioInfo | str, settings: Settings) -> Recording:
    recording = Recording(found.channel, found.audio_id, found.audio.key, audio=found.audio)
    return dataclasses.replace(with_header(recording, header, settings.audio), audio=None)  # no snapshot yet
