"""The stage "segments": a batch's recordings → segment files and their manifest."""

import dataclasses
import json
import logging
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Any

from voice_core.compute import progress, workers
from voice_core.corpus.ingest.batches import Batch, Recording, mark_transcripts_changed, read_batch
from voice_core.corpus.names import SEGMENTS
from voice_core.corpus.segment.boundaries import CUTTING_VERSION
from voice_core.corpus.segment.measures import MEASURES_VERSION
from voice_core.corpus.segment.recording import NO_ROOM, NOT_READ, CutResult, CutTask, cut_recording
from voice_core.corpus.segment.recoverable_segments import mark_recoverable_evicted
from voice_core.corpus.segment.rules import apply_rules
from voice_core.fingerprint import fingerprint
from voice_core.layout import PartitionKey, contents_key, manifest_key, slug, stage_prefix
from voice_core.settings import Settings
from voice_core.stages.commit import Checkpoint, commit, intact_keys, unchanged_files
from voice_core.stages.labels import ADDED_LABELS
from voice_core.stages.manifest import Entry, Manifest, RecordingOutcome, Reject, read_manifest
from voice_core.storage.distributed_lock import hold_lock
from voice_core.storage.scratch import open_scratch
from voice_core.storage.state_files import DamagedStateError, parse_state
from voice_core.storage.store import Store

_log = logging.getLogger(__name__)
Rows = Mapping[str, Sequence[Entry]]  # by audio_id
CODE_VERSION = f"cut{CUTTING_VERSION}-measure{MEASURES_VERSION}"


@dataclass(frozen=True, slots=True)
class SegmentsReport:
    """What one run of the stage did."""

    manifest: Manifest
    recordings_decoded: int
    decoded_sec: float
    segments_cut: int
    wall_sec: float
    unchanged_files: Mapping[str, int] = field(
        default_factory=dict, repr=False
    )  # files that stayed as they were: key → size


class ContentHashes:
    """Content hashes of raw objects, by what the store called them when they were last read.

    What a store calls an object (a generation, a modification time) changes more often than its content, and
    differs from store to store; so it stays here, and everything else speaks of content.
    """

    def __init__(self, store: Store, partition: PartitionKey) -> None:
        self._store = store
        self._key = contents_key(partition)
        try:
            data = store.find(self._key)
            self._known = parse_content_hashes(store, self._key, data) if data is not None else {}
        except DamagedStateError as error:  # it saves reading recordings, no more
            _log.warning("%s; the recordings are read again", error)
            self._known = {}

    def sha256(self, recording: Recording) -> str:
        """The hash of the recording's audio, or "" where it is not known."""
        return self._of(recording).get("sha256", "")

    def bad_transcript_sha256(self, recording: Recording) -> str:
        """The hash of the transcript that made reading the audio pointless, or ""."""
        return self._of(recording).get("bad_transcript_sha256", "")

    def remember(self, recording: Recording, outcome: RecordingOutcome) -> None:
        if recording.audio is None:
            return
        known = {"identity": recording.audio.identity}
        if outcome.audio_sha256:
            self._known[recording.key] = {**known, "sha256": outcome.audio_sha256}
        elif outcome.status == "bad_transcript":
            self._known[recording.key] = {**known, "bad_transcript_sha256": outcome.transcript_sha256}

    def _of(self, recording: Recording) -> dict[str, str]:
        known = self._known.get(recording.key, {})
        same = recording.audio is not None and known.get("identity") == recording.audio.identity
        return known if same else {}

    def save(self, batch: Batch) -> None:
        keys = {recording.key for recording in batch.recordings}
        kept = {key: value for key, value in self._known.items() if key in keys}
        data = (json.dumps(kept, ensure_ascii=False, indent=1, sort_keys=True) + "\n").encode()
        if data != self._store.find(self._key):
            self._store.put(self._key, data)


def parse_content_hashes(store: Store, key: str, data: bytes) -> dict[str, dict[str, str]]:
    return parse_state(store, key, data, dict[str, dict[str, str]])


def parameters(settings: Settings) -> dict[str, Any]:
    """The settings that this stage's result depends on, as the manifest records them."""
    cut = {**settings.cut.model_dump(), "max_transcript_mb": settings.max_transcript_mb, "code": CODE_VERSION}
    if ADDED_LABELS:  # transcripts are read again once a label is added
        cut["labels"] = list(ADDED_LABELS)
    limits = settings.audio.model_dump(exclude_defaults=True)
    return {
        "cut": {**cut, "audio": limits} if limits else cut,
        "rules": settings.rules.model_dump(),
    }


def same_audio_limits(old: Manifest | None, settings: Settings) -> bool:
    """Whether what was decoded last time was decoded within the limits of now."""
    return old is not None and old.parameters["cut"].get("audio") == parameters(settings)["cut"].get("audio")


def stage_inputs(batch: Batch, contents: ContentHashes, settings: Settings) -> str:
    """Fingerprint of all that the stage depends on; "" while some audio's content is not known."""
    tokens: list[Any] = []
    for recording in batch.recordings:
        audio_sha256 = contents.sha256(recording)
        transcript = recording.transcript
        token: list[Any] = [recording.audio_id]
        if recording.adopted is not None:
            if not recording.adopted.content:
                return ""
            token += ["adopted", recording.adopted.content]
        elif recording.vanished:
            token += ["vanished"]
        elif (broken := recording.broken_limit(settings.audio)) is not None:
            token += ["out_of_limits", str(broken)]
        elif transcript is None:
            token += ["no_transcript", recording.duration_sec, recording.unreadable]
        elif not recording.transcript_sha256:
            token += ["transcript_too_large", transcript.size]
        elif audio_sha256:
            token += [audio_sha256, transcript.key, recording.transcript_sha256]
        elif contents.bad_transcript_sha256(recording) == recording.transcript_sha256:
            token += ["bad_transcript", recording.transcript_sha256]
        else:
            return ""
        tokens.append(token)
    return fingerprint(parameters(settings), tokens)


def is_current(work: Store, batch: Batch, settings: Settings, manifest: Manifest | None = None) -> bool:
    """Whether the committed segments are what a run would make now. Reads no audio."""
    manifest = manifest or read_manifest(work, SEGMENTS, batch.partition)
    if manifest is None or not manifest.complete:
        return False
    inputs = stage_inputs(batch, ContentHashes(work, batch.partition), settings)
    return bool(inputs) and manifest.inputs == inputs


def build_segments(
    raw: Store, work: Store, partition: PartitionKey, settings: Settings, *, verify: bool = False
) -> SegmentsReport:
    """Cut what is missing or changed, judge everything by the rules, and commit the manifest.

    With `verify`, files that no longer have their committed hash are cut again too. Waits while another process works
    on the partition.
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
        mark_recoverable_evicted(work, old, gone, settings, verify=verify)
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
    if tasks and raw.local_root is None:
        scratch = open_scratch(settings)
        tasks = [dataclasses.replace(task, scratch=scratch) for task in tasks]
    recordings_by_task = {id(task): task.recording for task in tasks}
    changed: dict[str, str] = {}
    # The longest first, so that no core is left with one at the end.
    tasks.sort(key=lambda task: task.recording.duration_sec, reverse=True)
    with progress.track(f"cutting {partition}", sum(t.recording.duration_sec for t in tasks) / 60, "minutes") as bar:
        count = settings.workers if raw.shareable and work.shareable else 1
        room = tasks[0].scratch.budget_bytes if tasks and tasks[0].scratch else 0
        for task, result in workers.map_unordered(
            cut_recording,
            tasks,
            count,
            weigh=attrgetter("copy_bytes"),
            capacity=room,
            name=lambda task: task.recording.key,
        ):
            recording = recordings_by_task[id(task)]
            contents.remember(recording, result.outcome)
            if result.outcome.transcript_sha256 != recording.transcript_sha256:
                changed[recording.audio_id] = result.outcome.message
            result = _previous_if_unread(
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
    unreachable = any(result.outcome.status == "unreachable" for result in results)  # tried again with every build
    manifest = dataclasses.replace(
        draft,
        inputs="" if unreachable else stage_inputs(batch, contents, settings),
        recordings=tuple(result.outcome for result in results),
        entries=tuple(
            apply_rules(entry, settings.rules) if entry.key else entry for result in results for entry in result.entries
        ),
    )
    manifest = commit(work, manifest, sweep=touched)
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
    """Raise `DamagedStateError` where files are there that no manifest lists, and nothing can make again.

    A missing manifest of adopted recordings is that of an adoption which was interrupted.
    """
    key = manifest_key(SEGMENTS, batch.partition)
    damaged = work.head(key) is not None
    last = [item.audio_id for item in batch.recordings if item.vanished or (damaged and item.adopted is not None)]
    if not last:
        return
    there = {item.key.rpartition("_seg_")[0] for item in work.listing(stage_prefix(SEGMENTS, batch.partition))}
    lost = [name for name in last if f"{stage_prefix(SEGMENTS, batch.partition)}{slug(name)}" in there]
    if lost:
        names = ", ".join(lost[:5]) + (f" and {len(lost) - 5} more" if len(lost) > 5 else "")
        raise DamagedStateError(
            work,
            key,
            f"is {'damaged' if damaged else 'gone'}, and the segments of recordings that are not in the raw bucket "
            f"cannot be made again ({names})",
            "Restore it from a copy, or give these recordings up with `voice forget`",
        )


def plan_segments(
    batch: Batch, old: Manifest | None, contents: ContentHashes, settings: Settings, rows: Rows, lost: Rows
) -> tuple[dict[str, CutResult], list[Recording]]:
    """Recordings whose rows stand, by audio id, and those to look at: at least their transcript, perhaps all. Pure.

    `rows` and `lost` are the `split_intact_rows` of the manifest that lies there.
    """
    same_cut = old is not None and old.parameters["cut"] == parameters(settings)["cut"]
    before = {item.audio_id: item for item in old.recordings} if old else {}
    done: dict[str, CutResult] = {}
    todo: list[Recording] = []
    for recording in batch.recordings:
        earlier = before.get(recording.audio_id)
        standing, gone_files = rows.get(recording.audio_id, []), lost.get(recording.audio_id, [])
        if recording.adopted is not None:
            done[recording.audio_id] = _adopted_result(recording, earlier, standing, gone_files)
            continue
        kept = _unchanged_outcome(recording, earlier, contents, same_cut, settings) if earlier else None
        if kept is not None and (recording.vanished or not gone_files):
            done[recording.audio_id] = CutResult(kept, (*standing, *map(_lost_file_entry, gone_files)))
        else:
            todo.append(recording)
    return done, todo


def _previous_if_unread(
    result: CutResult, earlier: RecordingOutcome | None, rows: Sequence[Entry], lost: Sequence[Entry]
) -> CutResult:
    """Where a recording cannot be read now, what was cut of it before stays."""
    unread = result.outcome.status == "unreachable" and all(
        entry.reason in (NOT_READ, NO_ROOM) for entry in result.entries
    )
    if not unread or earlier is None or not earlier.sample_count:
        return result
    message = f"{result.outcome.message}; what was cut before is kept"
    without_file = (
        _lost_file_entry(entry, "the recording cannot be read now, so it cannot be cut again") for entry in lost
    )
    return CutResult(dataclasses.replace(earlier, status="unreachable", message=message), (*rows, *without_file))


def split_intact_rows(
    work: Store, old: Manifest | None, *, verify: bool = False
) -> tuple[dict[str, list[Entry]], dict[str, list[Entry]]]:
    """The old rows by recording: those that stand, and those whose file is missing or spoilt."""
    rows: dict[str, list[Entry]] = defaultdict(list)
    lost: dict[str, list[Entry]] = defaultdict(list)
    if old is None:
        return rows, lost
    intact = intact_keys(work, old, verify=verify)
    for entry in old.entries:
        damaged = bool(entry.key) and entry.key not in intact
        (lost if damaged else rows)[entry.audio_id].append(entry)
    return rows, lost


def _lost_file_entry(entry: Entry, why: str = "the recording vanished, so it cannot be cut again") -> Entry:
    """The row of a segment whose file is gone, and whose recording too."""
    without_file = dataclasses.replace(entry, key="", sha256="", size_bytes=0, fingerprint="")
    return without_file.with_verdict(Reject("recording", "file_lost", message=why))


def _adopted_result(
    recording: Recording, earlier: RecordingOutcome | None, rows: Sequence[Entry], lost: Sequence[Entry]
) -> CutResult:
    """The rows that were adopted stand as they are: there is no recording to cut them from again."""
    assert recording.adopted is not None
    remedy = f"`voice adopt {recording.adopted.url}` takes it in again"
    if earlier is None:
        message = f"its segments were not adopted to the end: {remedy}"
        outcome = RecordingOutcome(recording.audio_id, recording.key, "unreadable", 0, message=message)
        row = Entry("recording", recording.audio_id).with_verdict(Reject("adopt", "not_adopted_yet", message=message))
        return CutResult(outcome, (row,))
    return CutResult(earlier, (*rows, *(_lost_file_entry(entry, f"its file is gone: {remedy}") for entry in lost)))


def _check_sample_rate(batch: Batch, old: Manifest | None, settings: Settings) -> None:
    """Segments of vanished recordings cannot be cut again, and two rates cannot share a manifest."""
    gone = [item.audio_id for item in batch.recordings if item.vanished or item.adopted is not None]
    if gone and old is not None and old.entries and old.sample_rate_hz != settings.cut.sample_rate_hz:
        raise ValueError(
            f"{batch.partition} holds segments at {old.sample_rate_hz} Hz of recordings that are no longer in the raw "
            f"bucket ({', '.join(gone[:5])}), so cut.sample_rate_hz cannot become {settings.cut.sample_rate_hz}: "
            "restore the recordings, `voice forget` them, or keep the rate"
        )


def _unchanged_outcome(
    recording: Recording, earlier: RecordingOutcome, contents: ContentHashes, same_cut: bool, settings: Settings
) -> RecordingOutcome | None:
    """The outcome to keep, where nothing that the recording's segments depend on has changed.

    The segments of a recording that vanished from the raw bucket are kept whatever changed: they cannot be made
    again. `voice forget` is the way to be rid of them.
    """
    if recording.vanished:
        if not earlier.sample_count:
            return None
        message = f"{recording.key} is no longer in the raw bucket; its segments are kept"
        return dataclasses.replace(earlier, status="vanished", message=message)
    known = contents.sha256(recording)
    same = (
        same_cut
        and not recording.broken_limit(settings.audio)
        and known
        and earlier.audio_sha256 == known
        and recording.transcript is not None
        and earlier.transcript_key == recording.transcript.key
        and earlier.transcript_sha256 == recording.transcript_sha256
        and earlier.status not in ("vanished", "unreachable")
    )
    return earlier if same else None
