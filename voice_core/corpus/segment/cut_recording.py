"""Cut recordings in worker processes: the audio and transcript of each → segment files and rows."""

import contextlib
import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from operator import attrgetter
from pathlib import Path

from voice_core.audio.decoding import Damage, DecodeReport, decode
from voice_core.audio.header import UnreadableAudioError
from voice_core.compute import workers
from voice_core.corpus.accounting import account_for_samples
from voice_core.corpus.ingest.transcript_types import BadLine, Line, TranscriptError
from voice_core.corpus.ingest.transcripts import parse_transcript
from voice_core.corpus.labels import label_values
from voice_core.corpus.manifest import Entry, RecordingOutcome
from voice_core.corpus.names import SEGMENTS
from voice_core.corpus.segment.boundaries import Cut, CutPiece, OutOfRange, StreamCutter
from voice_core.corpus.segment.cut_task import (
    NO_ROOM,
    NOT_READ,
    CutResult,
    CutTask,
    check_not_replaced,
    file_signature,
    open_local_audio,
    read_transcript,
    skipped_result,
    unreadable_result,
)
from voice_core.corpus.segment.line_plan import line_entry, plan_lines, reusable_outcome
from voice_core.corpus.segment.measures import measure
from voice_core.corpus.segment.segment_files import Segment, dump_segment
from voice_core.fingerprint import sha256
from voice_core.layout import segment_name, stage_prefix
from voice_core.settings import Settings
from voice_core.stages.verdicts import Reject
from voice_core.storage.scratch import ScratchLimitError, open_scratch
from voice_core.storage.store import AccessDeniedError, Store, StoreError

_TRUNCATED_SEC = 1.0
_TRUNCATED_SHARE = 0.02
_PUT_BYTES = 8 << 20  # segments are written in groups of about this size


def run_cut_tasks(tasks: Sequence[CutTask], settings: Settings) -> Iterator[tuple[CutTask, CutResult]]:
    """Cut recordings in parallel; yields each task with its result as soon as it is done.

    All tasks have the same stores. Local copies of remote recordings stay within the scratch budget.
    """
    if not tasks:
        return
    raw, work = tasks[0].raw, tasks[0].work
    scratch = open_scratch(settings.local_dir, settings.local_gb) if raw.local_root is None else None
    # The longest recordings first: otherwise one core may still decode when all others are idle.
    longest_first = sorted(tasks, key=lambda task: task.recording.duration_sec, reverse=True)
    yield from workers.map_unordered(
        cut_recording,
        [dataclasses.replace(task, scratch=scratch) for task in longest_first],
        settings.workers if raw.shareable and work.shareable else 1,
        weigh=attrgetter("copy_bytes"),
        capacity=scratch.budget_bytes if scratch else 0,
        name=lambda task: task.recording.key,
    )


def cut_recording(task: CutTask) -> CutResult:
    """Cut the lines of a recording that have no segment file yet.

    Problems with this recording become rows and an outcome, not exceptions. If the work root cannot be written to, it
    raises `StoreError`, unless access is denied to this recording's files only.
    """
    try:
        return _cut_recording(task)
    except AccessDeniedError as error:
        return skipped_result(task, "unreachable", "not_written", str(error))


def _cut_recording(task: CutTask) -> CutResult:
    recording = task.recording
    if recording.vanished:
        return skipped_result(task, "vanished", "vanished", f"{recording.key} is no longer in the raw bucket")
    if recording.trouble:
        return skipped_result(task, "unreachable", NOT_READ, recording.trouble)
    if (broken := recording.broken_limit(task.settings.audio)) is not None:
        return unreadable_result(task, broken)
    if recording.transcript is None:
        if recording.info is None:
            return skipped_result(task, "unreadable", "unreadable", recording.unreadable)
        return skipped_result(task, "no_transcript", "no_transcript", f"there is no transcript next to {recording.key}")
    try:
        data = read_transcript(task)
        transcript_sha256 = sha256(data)
        if transcript_sha256 != recording.transcript_sha256:  # even if it is unreadable now
            message = f"{recording.transcript.key} changed while it was read; the next build reads it again"
            return skipped_result(task, "unreachable", NOT_READ, message, "", transcript_sha256)
        lines = parse_transcript(data, recording.transcript.key).lines
    except TranscriptError as error:
        return skipped_result(task, "bad_transcript", error.reason, str(error))
    except StoreError as error:
        return skipped_result(task, "unreachable", NOT_READ, str(error))
    with contextlib.ExitStack() as stack:
        before = file_signature(task)
        try:
            path, audio_sha256 = stack.enter_context(open_local_audio(task))
        except ScratchLimitError as error:
            return skipped_result(task, "unreachable", NO_ROOM, str(error), "", transcript_sha256)
        except StoreError as error:
            return skipped_result(task, "unreachable", NOT_READ, str(error), "", transcript_sha256)
        try:
            result = _cut_lines(task, path, audio_sha256, lines, transcript_sha256)
        except UnreadableAudioError as error:
            result = unreadable_result(task, error, audio_sha256, transcript_sha256)
        try:
            check_not_replaced(task)
        except StoreError as error:
            return skipped_result(task, "unreachable", NOT_READ, str(error), "", transcript_sha256)
        if file_signature(task) != before:
            message = f"{recording.key} changed while it was decoded; the next build reads it again"
            return skipped_result(task, "unreachable", NOT_READ, message, "", transcript_sha256)
        return result


def _cut_lines(
    task: CutTask, path: Path, audio_sha256: str, lines: Sequence[Line | BadLine], transcript_sha256: str
) -> CutResult:
    settings = task.settings.cut
    audio_id = task.recording.audio_id
    plan = plan_lines(lines, audio_id, audio_sha256, task.reusable, settings)
    entries = [*plan.rejected, *plan.reused]
    line_fingerprints = plan.fingerprints
    todo = [
        cut for cut in plan.todo if task.only_files is None or _segment_key(task, cut.line.index) in task.only_files
    ]
    before = reusable_outcome(task.previous, audio_sha256)
    length_known = before is not None and before.status == "ok"
    report = DecodeReport()
    if todo or before is None:
        with _BufferedWriter(task.work) as writer:
            for piece in _pieces(path, report, todo, task.settings, stop_early=length_known):
                entries.append(_write_segment(piece, task, line_fingerprints, writer, report.damages))
    if before is not None and (length_known or not todo):
        status, message, total = before.status, before.message, before.sample_count
    else:
        message = _describe_damage(report, settings.sample_rate_hz)
        status, total = ("damaged" if message else "ok"), report.sample_count
    outcome = RecordingOutcome(
        audio_id=audio_id,
        raw_key=task.recording.key,
        status=status,
        sample_count=total,
        audio_sha256=audio_sha256,
        transcript_key=task.recording.transcript.key if task.recording.transcript else "",
        transcript_sha256=transcript_sha256,
        message=message,
    )
    rate = settings.sample_rate_hz
    return CutResult(
        outcome, account_for_samples(entries, audio_id, total, rate), report.sample_count / rate, len(todo)
    )


def _pieces(
    path: Path, report: DecodeReport, cuts: Sequence[Cut], settings: Settings, *, stop_early: bool
) -> Iterator[CutPiece]:
    cutter = StreamCutter(cuts, settings.cut)
    for chunk in decode(path, settings.cut.sample_rate_hz, report, limits=settings.audio):
        yield from cutter.feed(chunk)
        if stop_early and cutter.done:
            return
    yield from cutter.finish()


def _write_segment(
    piece: CutPiece,
    task: CutTask,
    line_fingerprints: Mapping[int, str],
    writer: "_BufferedWriter",
    damages: Sequence[Damage],
) -> Entry:
    """Pass the segment file of a piece to the writer; returns its row."""
    rate = task.settings.cut.sample_rate_hz
    line = piece.cut.line
    entry = line_entry(line, task.recording.audio_id)
    if isinstance(piece, OutOfRange):
        return entry.with_verdict(piece.reject)
    start, stop, pcm = piece.start, piece.stop, piece.pcm
    least = max(1, round(task.settings.cut.min_cut_sec * rate))
    if stop - start < least:
        value = round((stop - start) / rate, 3)
        return entry.with_verdict(Reject("transcript", "too_short", value, task.settings.cut.min_cut_sec))
    entry = dataclasses.replace(entry, cut_start=start, cut_stop=stop, duration_sec=round(len(pcm) / rate, 3))
    damage = next((item for item in damages if item.start < stop and item.stop > start), None)
    if damage is not None:
        lost = round((min(damage.stop, stop) - max(damage.start, start)) / rate, 3)
        return entry.with_verdict(Reject("decode", "damaged_audio", lost, 0.0, damage.message))
    segment = Segment(
        audio=pcm,
        text=line.text,
        duration_sec=len(pcm) / rate,
        audio_id=task.recording.audio_id,
        **label_values(line),
    )
    data = dump_segment(segment)
    key = _segment_key(task, line.index)
    if task.only_files is None or task.only_files.get(key) == sha256(data):
        writer.put(key, data)
    return dataclasses.replace(
        entry,
        key=key,
        sha256=sha256(data),
        size_bytes=len(data),
        fingerprint=line_fingerprints[line.index],
        **dataclasses.asdict(measure(pcm, rate, line.text)),
    )


def _segment_key(task: CutTask, index: int) -> str:
    return f"{stage_prefix(SEGMENTS, task.partition)}{segment_name(task.recording.audio_id, index)}.npz"


class _BufferedWriter:
    """Writes files in groups. On exit, all files are written."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._waiting: dict[str, bytes] = {}
        self._bytes = 0

    def __enter__(self) -> "_BufferedWriter":
        return self

    def __exit__(self, *exc: object) -> None:
        self._flush()

    def put(self, key: str, data: bytes) -> None:
        self._waiting[key] = data
        self._bytes += len(data)
        if self._bytes >= _PUT_BYTES:
            self._flush()

    def _flush(self) -> None:
        self._store.put_many(self._waiting)
        self._waiting, self._bytes = {}, 0


def _describe_damage(report: DecodeReport, rate: int) -> str:
    """Describe the damage of audio that could be decoded; "" if there is none."""
    notes = []
    if report.damages:
        lost_sec = sum(item.stop - item.start for item in report.damages) / rate
        first = report.damages[0]
        notes.append(
            f"{len(report.damages)} damaged {'section' if len(report.damages) == 1 else 'sections'}, "
            f"{lost_sec:.1f} s in total, the first at {first.start / rate:.1f} s: {first.message}"
        )
    promised = report.info.duration_sec if report.info else 0.0
    short_sec = promised - report.sample_count / rate
    if short_sec > max(_TRUNCATED_SEC, _TRUNCATED_SHARE * promised):
        notes.append(f"the header states {promised:.1f} s, but the audio has only {report.sample_count / rate:.1f} s")
    return "; ".join(notes)
