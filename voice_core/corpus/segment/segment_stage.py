"""The segment stage: the recordings of a batch → segment files and their manifest."""

import dataclasses
import logging
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from voice_core.compute import progress
from voice_core.corpus.evicted import read_evicted, write_evicted
from voice_core.corpus.ingest.batch_model import Batch
from voice_core.corpus.ingest.batches import read_batch
from voice_core.corpus.ingest.snapshot import mark_transcripts_changed
from voice_core.corpus.manifest import Manifest, load_manifest, read_manifest
from voice_core.corpus.manifest_commit import Checkpoint, commit_stage, unchanged_files
from voice_core.corpus.names import CODED, SEGMENTS
from voice_core.corpus.presence import files_from_records, intact_keys
from voice_core.corpus.segment.content_hashes import ContentHashes
from voice_core.corpus.segment.cut_recording import run_cut_tasks
from voice_core.corpus.segment.cut_task import CutTask
from voice_core.corpus.segment.rules import apply_rules
from voice_core.corpus.segment.segment_plan import (
    CODE_VERSION,
    inputs_unchanged,
    parameters,
    plan_segments,
    previous_if_unread,
    same_audio_limits,
    split_intact_rows,
    stage_inputs,
)
from voice_core.layout import DatasetLayout, PartitionKey, manifest_key, slug, stage_prefix
from voice_core.settings import Settings
from voice_core.stages.checks import list_first
from voice_core.stages.files import check_files, find_sizes
from voice_core.storage.distributed_lock import hold_lock
from voice_core.storage.state_files import DamagedStateError
from voice_core.storage.store import Store

__all__ = [
    "CODE_VERSION",
    "SegmentsReport",
    "build_segments",
    "is_current",
]
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class SegmentsReport:
    """What one run of the stage did."""

    manifest: Manifest
    recordings_decoded: int
    decoded_sec: float
    segments_cut: int
    wall_sec: float
    unchanged_files: Mapping[str, int] = field(default_factory=dict, repr=False)  # size in bytes by key


def is_current(work: Store, batch: Batch, settings: Settings, manifest: Manifest | None = None) -> bool:
    """Whether a run would produce the committed segments again. Reads no audio."""
    manifest = manifest or read_manifest(work, SEGMENTS, batch.partition)
    if manifest is None or not manifest.complete:
        return False
    return inputs_unchanged(manifest, batch, ContentHashes(work, batch.partition), settings)


def build_segments(
    raw: Store, work: Store, partition: PartitionKey, settings: Settings, *, verify: bool = False
) -> SegmentsReport:
    """Cut missing and changed segments, apply the rules to all, and commit the manifest.

    With `verify`, files that do not have their committed hash are cut again too. Waits while another process works on
    the partition.
    """
    with hold_lock(work, str(partition)) as work:
        return _build_segments(raw, work, partition, settings, verify)


def _build_segments(
    raw: Store, work: Store, partition: PartitionKey, settings: Settings, verify: bool
) -> SegmentsReport:
    started = time.monotonic()
    batch = read_batch(work, partition)
    contents = ContentHashes(work, partition)
    old = read_manifest(work, SEGMENTS, partition)
    if old is None:
        _check_recoverable(work, batch)
    else:
        gone = {item.audio_id for item in batch.recordings if item.vanished or item.adopted is not None}
        _mark_recoverable_evicted(work, old, gone, settings, verify=verify)
    wanted = parameters(settings)
    before = {item.audio_id: item for item in old.recordings} if old else {}
    rows, lost = split_intact_rows(work, old, verify=verify)
    _check_sample_rate(batch, old, settings)

    done, todo = plan_segments(batch, old, contents, settings, rows, lost)
    decoded_before = before if same_audio_limits(old, settings) else {}
    tasks: list[CutTask] = []
    for recording in todo:
        earlier = decoded_before.get(recording.audio_id)
        files = {entry.fingerprint: entry for entry in rows[recording.audio_id] if entry.key}
        tasks.append(CutTask(raw, work, partition, recording, settings, contents.sha256(recording), earlier, files))

    draft = Manifest(SEGMENTS, str(partition), False, settings.cut.sample_rate_hz, "", wanted)
    carried = [entry for result in done.values() for entry in result.entries]
    draft = dataclasses.replace(draft, recordings=tuple(result.outcome for result in done.values()))
    checkpoint = Checkpoint(work, dataclasses.replace(draft, entries=tuple(carried)))
    gone = set(before) - {recording.audio_id for recording in batch.recordings}
    touched = bool(tasks or gone or old is None)
    if touched:
        checkpoint.begin()
    changed: dict[str, str] = {}
    total_min = sum(task.recording.duration_sec for task in tasks) / 60
    with progress.track(f"cutting {partition}", total_min, "minutes") as bar:
        for task, result in run_cut_tasks(tasks, settings):
            recording = task.recording
            contents.remember(recording, result.outcome)
            if result.outcome.transcript_sha256 != recording.transcript_sha256:
                changed[recording.audio_id] = result.outcome.message
            result = previous_if_unread(
                result, before.get(recording.audio_id), rows[recording.audio_id], lost.get(recording.audio_id, [])
            )
            done[recording.audio_id] = result
            checkpoint.add_outcome(result.outcome)
            checkpoint.add(result.entries)
            bar.advance(recording.duration_sec / 60)
    contents.save(batch)
    if changed:
        mark_transcripts_changed(work, partition, changed)
    results = [done[recording.audio_id] for recording in batch.recordings]
    unreachable = any(result.outcome.status == "unreachable" for result in results)  # every build tries again
    manifest = dataclasses.replace(
        draft,
        inputs="" if unreachable else stage_inputs(batch, contents, settings),
        recordings=tuple(result.outcome for result in results),
        entries=tuple(
            apply_rules(entry, settings.rules) if entry.key else entry for result in results for entry in result.entries
        ),
    )
    manifest = commit_stage(work, manifest, sweep=touched)
    decoded = [done[task.recording.audio_id] for task in tasks]
    return SegmentsReport(
        manifest=manifest,
        recordings_decoded=sum(result.decoded_sec > 0 for result in decoded),
        decoded_sec=sum(result.decoded_sec for result in decoded),
        segments_cut=sum(result.cut for result in decoded),
        wall_sec=time.monotonic() - started,
        unchanged_files=unchanged_files(old, manifest, verify=verify),
    )


def _check_recoverable(work: Store, batch: Batch) -> None:
    """Raise `DamagedStateError` if the manifest is missing or damaged and segment files cannot be made again.

    A missing manifest of adopted recordings is not an error: their adoption was interrupted.
    """
    key = manifest_key(SEGMENTS, batch.partition)
    damaged = work.head(key) is not None
    last = [item.audio_id for item in batch.recordings if item.vanished or (damaged and item.adopted is not None)]
    if not last:
        return
    there = {item.key.rpartition("_seg_")[0] for item in work.listing(stage_prefix(SEGMENTS, batch.partition))}
    lost = [name for name in last if f"{stage_prefix(SEGMENTS, batch.partition)}{slug(name)}" in there]
    if lost:
        raise DamagedStateError(
            work,
            key,
            f"is {'damaged' if damaged else 'missing'}, and the segments of recordings that are not in the raw bucket "
            f"cannot be made again ({list_first(lost, ', ')})",
            "Restore it from a backup, or remove these recordings with `voice forget`",
        )


def _check_sample_rate(batch: Batch, old: Manifest | None, settings: Settings) -> None:
    """Raise `ValueError` if the sample rate changed but some segments cannot be cut again: a manifest has one rate."""
    gone = [item.audio_id for item in batch.recordings if item.vanished or item.adopted is not None]
    if gone and old is not None and old.entries and old.sample_rate_hz != settings.cut.sample_rate_hz:
        raise ValueError(
            f"{batch.partition} contains segments at {old.sample_rate_hz} Hz of recordings that are not in the raw "
            f"bucket ({', '.join(gone[:5])}), so cut.sample_rate_hz cannot be {settings.cut.sample_rate_hz}: "
            "restore the recordings, remove them with `voice forget`, or keep the sample rate"
        )


def _mark_recoverable_evicted(
    work: Store, segments: Manifest, unavailable: Collection[str], settings: Settings, *, verify: bool
) -> None:
    """Record lost files of the recordings `unavailable` as evicted, if a later stage has their content.

    Later stages are the coded files and the rows of the dataset. Evicted files are rebuilt byte for byte when they are
    needed; these recordings cannot be cut again.
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
    files = files_from_records(manifest.parameters.get("files", []))
    states = check_files(work, files, find_sizes(work, files))
    if not all(state.counts_as_present for state in states.values()):
        return set()
    return {(entry.audio_id, entry.index) for entry in manifest.kept()}
