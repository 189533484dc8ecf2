"""Lost segment files of recordings that cannot be cut again, while a later stage still has their content.

They are marked as evicted: they are rebuilt to the byte when something needs them.
"""

import logging
from collections.abc import Collection

from voice_core.corpus.evicted import read_evicted, write_evicted
from voice_core.corpus.manifest import Entry, Manifest, load_manifest, read_manifest
from voice_core.corpus.presence import files_from_records, intact_keys
from voice_core.layout import DatasetLayout, PartitionKey
from voice_core.settings import Settings
from voice_core.stages.files import check_files, find_sizes
from voice_core.storage.store import Store

_CODED = "coded"
_log = logging.getLogger(__name__)


def mark_recoverable_evicted(
    work: Store, segments: Manifest, unavailable: Collection[str], settings: Settings, *, verify: bool
) -> None:
    """Note the lost files of the recordings `unavailable` as freed, where the coded file or the dataset's row has
    them."""
    candidates = [entry for entry in segments.files() if entry.audio_id in unavailable]
    if not candidates:
        return
    intact = intact_keys(work, segments, verify=verify)
    lost = [entry for entry in candidates if entry.key not in intact]
    if not lost:
        return
    partition = PartitionKey.parse(segments.partition)
    later = read_manifest(work, _CODED, partition)
    coded = {key.removeprefix(_CODED) for key in intact_keys(work, later, verify=verify)}
    rows = _intact_rows(work, partition, settings)
    recoverable = {
        entry.key: entry.sha256
        for entry in lost
        if entry.key.removeprefix(segments.stage) in coded or (entry.audio_id, entry.index) in rows
    }
    if recoverable:
        _log.warning("%d lost segment files of %s can be made again from later stages", len(recoverable), partition)
        write_evicted(work, segments.stage, partition, {**read_evicted(work, segments.stage, partition), **recoverable})
        work.delete(recoverable)  # what is left of them


def _intact_rows(work: Store, partition: PartitionKey, settings: Settings) -> set[tuple[str, int]]:
    manifest = load_manifest(work, DatasetLayout(settings.dataset).manifest_key(partition))
    if manifest is None or not manifest.complete:
        return set()
    files = files_from_records(manifest.parameters.get("files", []))
    states = check_files(work, files, find_sizes(work, files))
    if not all(state.counts_as_present for state in states.values()):
        return set()
    return {_row_id(entry) for entry in manifest.kept()}


def _row_id(entry: Entry) -> tuple[str, int]:
    return entry.audio_id, entry.index
