"""Forgetting a recording: everything that was made of it is removed from the work root, and it is never taken in again.

What has to be removed is found in the work root and not derived from the settings: every dataset, codes that the codec
of the settings did not make, channels that the settings leave out. A tombstone comes first. It lists what is still to
be done until a search finds nothing any more, so a removal that was killed is finished by the same call.
"""

import dataclasses
import json
from dataclasses import dataclass

from voice_core.compute import progress
from voice_core.corpus.forget.rows import read_recorded_settings, remove_from_dataset, remove_rows
from voice_core.corpus.forget.search import SEGMENT_STAGES, RecordingName, SearchResult, find_references, partition_of
from voice_core.corpus.ingest.batches import list_partitions, read_batches, try_read_batches, update_recordings
from voice_core.corpus.ingest.tombstones import read_tombstone, read_tombstones, write_tombstone
from voice_core.corpus.segment.content_hashes import parse_content_hashes
from voice_core.layout import BATCHES, DatasetLayout, PartitionKey, contents_key, stage_prefix
from voice_core.settings import Settings
from voice_core.stages.evicted import read_evicted, write_evicted
from voice_core.stages.integrity import AUDIT_REPORT_KEY, read_audit_report
from voice_core.stages.manifest import read_manifest, write_manifest
from voice_core.storage.distributed_lock import hold_lock
from voice_core.storage.local_files import LEGACY_PART_SUFFIX, remove_abandoned_parts
from voice_core.storage.state_files import DamagedStateError
from voice_core.storage.store import Store


@dataclass(frozen=True, slots=True)
class ForgetTarget:
    """A recording that is to be forgotten, or was. `pending` is None unless its removal has begun and not ended."""

    name: RecordingName
    duration_sec: float = 0.0
    adopted_from: str = ""
    forgotten_at: str = ""  # empty where there is no tombstone
    pending: dict[str, list[str]] | None = None


def find_forget_target(work: Store, name: str) -> ForgetTarget:
    """The recording that AUDIO_ID or CHANNEL/AUDIO_ID names, in a batch or forgotten before.

    Raises `LookupError` where that is none, or several.
    """
    live = {
        RecordingName(item.channel, item.audio_id): item for batch in read_batches(work) for item in batch.recordings
    }
    gone = [RecordingName(*item) for item in read_tombstones(work)]
    for known in (live, gone):
        found = sorted(item for item in known if name in (item.audio_id, str(item)))
        if len(found) > 1:
            raise LookupError(f"{name} is ambiguous: name one of {', '.join(map(str, found))}")
        if found:
            recording = live.get(found[0])
            tombstone = read_tombstone(work, found[0].channel, found[0].audio_id)
            return ForgetTarget(
                found[0],
                recording.duration_sec if recording else 0.0,
                recording.adopted.url if recording and recording.adopted else "",
                tombstone.forgotten_at if tombstone else "",
                tombstone.pending if tombstone else None,
            )
    raise LookupError(f"no batch holds a recording {name}")


def mark_forgotten(work: Store, name: str | ForgetTarget, *, when: str, why: str) -> RecordingName:
    """Write the tombstone: builds leave the recording out, and the next one of its batch removes what was made of it.

    `remove_recording` removes it from the whole work root.
    """
    target = find_forget_target(work, name) if isinstance(name, str) else name
    if not target.forgotten_at:
        write_tombstone(work, target.name.channel, target.name.audio_id, when, why)
    return target.name


def remove_recording(work: Store, name: RecordingName, settings: Settings) -> dict[str, list[str]]:
    """Remove all that the work root holds of a recording that has a tombstone; returns the batches and datasets.

    The tombstone lists them as pending, until `clear_pending`. Of `settings` only the place of local copies matters,
    and for the current dataset those of the card.
    """
    found = find_references(work, name)
    pending = _note_pending(work, name, found)
    partitions = [key for key in map(PartitionKey.parse, pending["partitions"]) if key.channel == name.slug]
    dataset_settings = {dataset: read_recorded_settings(work, dataset, settings) for dataset in pending["datasets"]}
    with progress.track(f"removing {name}", len(partitions) + len(dataset_settings), "places") as bar:
        for partition in partitions:
            with hold_lock(work, str(partition)) as claimed:
                _remove_from_batch(claimed, name, partition)
                for stage in SEGMENT_STAGES:
                    _remove_from_stage(claimed, name, stage, partition)
                for dataset in dataset_settings.values():
                    remove_rows(claimed, name, partition, dataset)
                    _remove_leftovers(claimed, f"{DatasetLayout(dataset.dataset).root}*/{partition.channel}")
                _remove_leftovers(claimed, f"{BATCHES}{partition.channel}")
            bar.advance()
        everything = list_partitions(work)
        for dataset in dataset_settings.values():
            remove_from_dataset(work, name, everything, dataset)
            bar.advance()
    _remove_from_audit(work, name)
    elsewhere = [key for key in found.found if name.owns_file(key) and partition_of(key) is None]
    if not _is_shared(work, name):
        work.delete(elsewhere)
    return pending


def _is_shared(work: Store, name: RecordingName) -> bool:
    """Whether another channel has a recording of the same id: then a file outside of a batch may be that one's."""
    batches = try_read_batches(work, list_partitions(work)).batches
    names = {(item.channel, item.audio_id) for batch in batches for item in batch.recordings}
    return any(audio_id == name.audio_id and channel != name.channel for channel, audio_id in names)


def clear_pending(work: Store, name: RecordingName) -> None:
    """Note that nothing is pending any more."""
    _write_pending(work, name, None)


def _note_pending(work: Store, name: RecordingName, found: SearchResult) -> dict[str, list[str]]:
    """What the tombstone says is to be done, and what was found besides; noted before anything is removed."""
    tombstone = read_tombstone(work, name.channel, name.audio_id)
    before = (tombstone.pending if tombstone else None) or {}
    pending = {
        "partitions": sorted({*before.get("partitions", ()), *map(str, found.partitions)}),
        "datasets": sorted({*before.get("datasets", ()), *found.datasets}),
    }
    if pending != before:
        _write_pending(work, name, pending)
    return pending


def _write_pending(work: Store, name: RecordingName, pending: dict[str, list[str]] | None) -> None:
    tombstone = read_tombstone(work, name.channel, name.audio_id)
    if tombstone is None:
        if pending is not None:
            raise LookupError(f"{name} has no tombstone: run `voice forget` for it first")
        return
    if tombstone.pending != pending:
        write_tombstone(work, name.channel, name.audio_id, tombstone.forgotten_at, tombstone.why, pending)


def _remove_from_batch(work: Store, name: RecordingName, partition: PartitionKey) -> None:
    if not read_batches(work, [partition]):
        return
    batch = update_recordings(work, partition, lambda item: item if item.audio_id != name.audio_id else None)
    data = work.find(contents_key(partition))
    try:
        contents = parse_content_hashes(work, contents_key(partition), data) if data is not None else {}
    except DamagedStateError:  # the next build writes it anew
        work.delete([contents_key(partition)])
        return
    others = {item.key for item in batch.recordings}
    left = {key: value for key, value in contents.items() if key in others}
    if left != contents:
        text = json.dumps(left, ensure_ascii=False, indent=1, sort_keys=True) + "\n"
        work.put(contents_key(partition), text.encode("utf-8", "surrogatepass"))


def _remove_from_stage(work: Store, name: RecordingName, stage: str, partition: PartitionKey) -> None:
    """The manifest first, so that at no time it lists a file that is gone; the next build finds it to be stale."""
    manifest = read_manifest(work, stage, partition)
    if manifest is not None and name.is_in(manifest):
        recordings = tuple(item for item in manifest.recordings if item.audio_id != name.audio_id)
        entries = tuple(entry for entry in manifest.entries if entry.audio_id != name.audio_id)
        write_manifest(work, dataclasses.replace(manifest, inputs="", recordings=recordings, entries=entries))
    prefix = stage_prefix(stage, partition)
    work.delete([item.key for item in work.listing(prefix) if name.owns_file(item.key)])
    freed = read_evicted(work, stage, partition)
    left = {key: digest for key, digest in freed.items() if not name.owns_file(key)}
    if left != freed:
        write_evicted(work, stage, partition, left)
    _remove_leftovers(work, prefix.rstrip("/"))


def _remove_leftovers(work: Store, pattern: str) -> None:
    """Half files of killed processes, which nothing lists. There are none in a bucket: an object is there or not."""
    if work.local_root is None:
        return
    for folder in work.local_root.glob(pattern.replace("[", "[[]")):
        remove_abandoned_parts(folder)
        for path in folder.glob(f"*{LEGACY_PART_SUFFIX}"):
            path.unlink(missing_ok=True)


def _remove_from_audit(work: Store, name: RecordingName) -> None:
    report = read_audit_report(work)
    if report is None:
        return
    before = report.to_bytes()
    for item in report.all_audits:
        for key in [key for key in item.wrong if name.owns_file(key)]:
            del item.wrong[key]
        item.unlisted[:] = [key for key in item.unlisted if not name.owns_file(key)]
    if report.to_bytes() != before:
        work.put(AUDIT_REPORT_KEY, report.to_bytes())
