"""Lost segment files of recordings that cannot be cut again, if a later stage still has their content.

They are recorded as evicted, so they are rebuilt byte for byte when they are needed.
"""

import logging
from collections.abc import Collection

from voice_core.corpus.names import CODED
from voice_core.layout import DatasetLayout, PartitionKey
from voice_core.settings import Settings
from voice_core.stages.commit import intact_keys
from voice_core.stages.evicted import read_evicted, write_evicted
from voice_core.stages.manifest import Entry, Manifest, load_manifest, read_manifest
from voice_core.storage.store import Store

_log = logging.getLogger(__name__)


def mark_recoverable_evicted(
    work: Store, segments: Manifest, unavailable: Collection[str], settings: Settings, *, verify: bool
) -> None:
    """Record lost files of the recordings `unavailable` as evicted, if a later stage has their content.

    Later stages are the coded files and the rows of the dataset.
    """
    candidates = [entry for entry in segments.files() if entry.audio_id in unavailable]
    if not candidates:
        return
    intact = intact_keys(work, segments, verify=verify)
    lost = [entry for entry in candidates if entry.key not in intact]
    if not lost:
        return
    partition = PartitionKey.parse(segments.partition)
    later = read_manifest(work, CODED, partition)
    coded = {key.removeprefix(CODED) for key in intact_keys(work, later, verify=verify)}
    rows = _intact_rows(work, partition, settings)
    recoverable = {
        entry.key: entry.sha256
        for entry in lost
        if entry.key.removeprefix(segments.stage) in coded or (entry.audio_id, entry.index) in rows
    }
    if recoverable:
        _log.warning("%s: lost segment files that can be rebuilt from later stages: %d", partition, len(recoverable))
        write_evicted(work, segments.stage, partition, {**read_evicted(work, segments.stage, partition), **recoverable})
        work.delete(recoverable)  # corrupt files


def _intact_rows(work: Store, partition: PartitionKey, settings: Settings) -> set[tuple[str, int]]:
    manifest = load_manifest(work, DatasetLayout(settings.dataset).manifest_key(partition))
    if manifest is None or not manifest.complete:
        return set()
    files = {item["key"]: item["size_bytes"] for item in manifest.parameters.get("files", [])}
    there = work.map_keys(work.head, files)
    if any(info is None or info.size != files[info.key] for info in there):
        return set()
    return {_row_id(entry) for entry in manifest.kept()}


def _row_id(entry: Entry) -> tuple[str, int]:
    return entry.audio_id, entry.index
