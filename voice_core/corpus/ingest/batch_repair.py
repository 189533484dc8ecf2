"""Rebuild a damaged or missing batch file from the batch's manifests and the raw bucket.

Without the batch file its recordings would be assigned to another batch, and the segments of recordings that vanished
from the raw bucket would be removed.
"""

import contextlib
import logging
from collections.abc import Collection, Iterator
from urllib.parse import unquote

from voice_core.corpus.ingest.batch_model import Batch, Recording, with_header
from voice_core.corpus.ingest.batches import parse_batch, read_batch
from voice_core.corpus.ingest.recordings import RecordingListing, probe_headers
from voice_core.corpus.names import CODED, SEGMENTS
from voice_core.layout import DatasetLayout, PartitionKey, batch_key, slug, stage_prefix
from voice_core.settings import Settings
from voice_core.stages.manifest import Manifest, load_manifest, read_manifest
from voice_core.storage.distributed_lock import hold_lock
from voice_core.storage.state_files import DamagedStateError
from voice_core.storage.store import ConflictError, Store

_log = logging.getLogger(__name__)


def rebuild_batch(
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


def replace_damaged_batch(work: Store, batch: Batch) -> Batch:
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
