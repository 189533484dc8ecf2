"""One recording and its transcript → segment files and rows. This is what a worker process does."""

import contextlib
import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from voice_core.audio.decoding import Damage, DecodeReport, UnreadableAudioError, decode
from voice_core.audio.pcm import Pcm16
from voice_core.corpus.ingest.batches import Recording
from voice_core.corpus.ingest.recordings import split_extension
from voice_core.corpus.ingest.transcripts import BadLine, Line, TranscriptError, parse_transcript
from voice_core.corpus.names import SEGMENTS
from voice_core.corpus.segment.boundaries import CUTTING_VERSION, Cut, StreamCutter, plan_cuts
from voice_core.corpus.segment.measures import MEASURES_VERSION, measure
from voice_core.corpus.segment.segment_files import Segment, dump_segment
from voice_core.fingerprint import fingerprint, sha256
from voice_core.layout import PartitionKey, segment_name, stage_prefix
from voice_core.settings import CutSettings, Settings
from voice_core.stages.accounting import account_for_samples
from voice_core.stages.labels import fingerprint_labels, label_values
from voice_core.stages.manifest import Entry, RecordingOutcome, RecordingStatus, Reject
from voice_core.storage.scratch import Scratch, ScratchLimitError
from voice_core.storage.store import AccessDeniedError, Store, StoreError

NO_ROOM = "no_room"  # the reason where a recording is larger than the local disk it may take
NOT_READ = "not_read"  # the reason where the raw bucket did not give what it lists

_TRUNCATED_SEC = 1.0
_TRUNCATED_SHARE = 0.02
_PUT_BYTES = 8 << 20  # segments are written in groups of about this size

CutPiece = tuple[Cut, int, int, Pcm16] | tuple[Cut, Reject]


@dataclass(frozen=True, slots=True)
class CutTask:
    """What a worker is told.

    `audio_sha256` is set where the object is known to be unchanged since it had this hash. `previous` is what was
    found of this recording last time, `reusable` its rows with files, by fingerprint. `scratch` is for a copy of the
    audio, where the raw bucket is remote. With `only_files`, only files of these keys and hashes are written.
    """

    raw: Store
    work: Store
    partition: PartitionKey
    recording: Recording
    settings: Settings
    audio_sha256: str = ""
    previous: RecordingOutcome | None = None
    reusable: Mapping[str, Entry] = field(default_factory=dict)
    scratch: Scratch | None = None
    only_files: Mapping[str, str] | None = None

    @property
    def copy_bytes(self) -> int:
        """What a local copy of the audio takes; 0 where none is made."""
        audio = self.recording.audio
        return audio.size if audio and self.scratch and self.scratch.fits(audio.size) else 0


@dataclass(frozen=True, slots=True)
class CutResult:
    outcome: RecordingOutcome
    entries: tuple[Entry, ...]
    decoded_sec: float = 0.0
    cut: int = 0


def cut_recording(task: CutTask) -> CutResult:
    """Cut what has to be cut.

    Trouble with this one recording ends as rows and an outcome, never as an error. A work root that cannot be
    written to is no trouble of the recording: that raises `StoreError`, unless access to its files alone is denied.
    """
    try:
        return _cut_recording(task)
    except AccessDeniedError as error:
        return _skipped_result(task, "unreachable", "not_written", str(error))


def _cut_recording(task: CutTask) -> CutResult:
    recording = task.recording
    if recording.vanished:
        return _skipped_result(task, "vanished", "vanished", f"{recording.key} is no longer in the raw bucket")
    if recording.trouble:
        return _skipped_result(task, "unreachable", NOT_READ, recording.trouble)
    if (broken := recording.broken_limit(task.settings.audio)) is not None:
        return _unreadable_result(task, broken)
    if recording.transcript is None:
        if recording.info is None:
            return _skipped_result(task, "unreadable", "unreadable", recording.unreadable)
        return _skipped_result(task, "no_transcript", "no_transcript", f"no transcript lies beside {recording.key}")
    try:
        data = _read_transcript(task)
        transcript_sha256 = sha256(data)
        if transcript_sha256 != recording.transcript_sha256:  # also where it is unreadable now
            message = f"{recording.transcript.key} changed while it was read; the next build reads it again"
            return _skipped_result(task, "unreachable", NOT_READ, message, "", transcript_sha256)
        lines = parse_transcript(data, recording.transcript.key).lines
    except TranscriptError as error:
        return _skipped_result(task, "bad_transcript", error.reason, str(error))
    except StoreError as error:
        return _skipped_result(task, "unreachable", NOT_READ, str(error))
    with contextlib.ExitStack() as stack:
        before = _file_signature(task)
        try:
            path, audio_sha256 = stack.enter_context(_local_audio(task))
        except ScratchLimitError as error:
            return _skipped_result(task, "unreachable", NO_ROOM, str(error), "", transcript_sha256)
        except StoreError as error:
            return _skipped_result(task, "unreachable", NOT_READ, str(error), "", transcript_sha256)
        try:
            result = _cut_lines(task, path, audio_sha256, lines, transcript_sha256)
        except UnreadableAudioError as error:
            result = _unreadable_result(task, error, audio_sha256, transcript_sha256)
        try:
            _check_not_replaced(task)
        except StoreError as error:
            return _skipped_result(task, "unreachable", NOT_READ, str(error), "", transcript_sha256)
        if _file_signature(task) != before:
            message = f"{recording.key} changed while it was decoded; the next build reads it again"
            return _skipped_result(task, "unreachable", NOT_READ, message, "", transcript_sha256)
        return result


def _file_signature(task: CutTask) -> tuple[int, ...]:
    """What changes with every write to a local file, also where its modification time is set back."""
    if task.raw.local_root is None:
        return ()
    try:
        status = (task.raw.local_root / task.recording.key).stat()
    except OSError:
        return ()
    return (status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)


def _check_not_replaced(task: CutTask) -> None:
    """A recording that is replaced while it is read would give segments of neither."""
    recording = task.recording
    there = task.raw.head(recording.key)
    if recording.audio is None or there is None or there.identity != recording.audio.identity:
        raise StoreError(
            f"{recording.key} is no longer the object that its batch recorded; the next build reads the new one"
        )


def _read_transcript(task: CutTask) -> bytes:
    transcript = task.recording.transcript
    assert transcript is not None
    limit_mb = task.settings.max_transcript_mb
    if transcript.size > limit_mb * 1e6:
        found = f"{transcript.key} has {transcript.size / 1e6:,.1f} MB"
        raise TranscriptError("transcript_too_large", f"{found}; VOICE_MAX_TRANSCRIPT_MB allows {limit_mb:g}")
    return task.raw.get(transcript.key)


@contextlib.contextmanager
def _local_audio(task: CutTask) -> Iterator[tuple[Path, str]]:
    """The audio as a local file, and its hash. On a remote store: a copy in the scratch folder, gone afterwards."""
    key = task.recording.key
    _check_not_replaced(task)
    if task.raw.local_root is not None:
        yield task.raw.local_root / key, task.audio_sha256 or task.raw.hash(key)
        return
    assert task.scratch is not None
    assert task.recording.audio is not None
    with task.scratch.reserve(task.recording.audio.size, f"a copy of {key}") as folder:
        path = folder / f"audio{split_extension(key)[1]}"  # FFmpeg looks at the name too
        yield path, task.raw.download(key, path, task.recording.audio)


def segment_fingerprint(cut: Cut, audio_id: str, audio_sha256: str, settings: CutSettings) -> str:
    """Of everything that the segment's file and measures depend on."""
    versions = [CUTTING_VERSION, MEASURES_VERSION]
    parameters = [settings.sample_rate_hz, settings.fade_sec, settings.min_cut_sec]
    line = cut.line
    content = [line.index, line.start_sec, line.end_sec, line.text, *fingerprint_labels(line)]
    windows = [dataclasses.astuple(cut.start), dataclasses.astuple(cut.stop)]
    return fingerprint(versions, parameters, audio_id, audio_sha256, [content, *windows])


@dataclass(frozen=True, slots=True)
class LinePlan:
    """What becomes of the lines of a transcript: rows of those that are never cut, rows that stand, and what to cut."""

    rejected: tuple[Entry, ...]
    reused: tuple[Entry, ...]
    todo: tuple[Cut, ...]
    fingerprints: Mapping[int, str]  # by the line's index


def plan_lines(
    lines: Sequence[Line | BadLine],
    audio_id: str,
    audio_sha256: str,
    earlier: Mapping[str, Entry],
    settings: CutSettings,
) -> LinePlan:
    """Which lines have to be cut; `reusable` are rows with files, by fingerprint. Pure."""
    plan = plan_cuts(lines, settings)
    line_fingerprints = {
        cut.line.index: segment_fingerprint(cut, audio_id, audio_sha256, settings) for cut in plan.cuts
    }
    known = {index: earlier[mark] for index, mark in line_fingerprints.items() if mark in earlier}
    return LinePlan(
        rejected=tuple(_line_entry(line, audio_id).with_verdict(reject) for line, reject in plan.rejects),
        reused=tuple(known.values()),
        todo=tuple(cut for cut in plan.cuts if cut.line.index not in known),
        fingerprints=line_fingerprints,
    )


def reusable_outcome(before: RecordingOutcome | None, audio_sha256: str) -> RecordingOutcome | None:
    """What was found of the recording, where its audio is still the same and was decoded to the end."""
    if before is not None and (before.audio_sha256 != audio_sha256 or before.status not in ("ok", "damaged")):
        return None
    return before


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
    """The row of a line that was cut, its file handed to the writer."""
    rate = task.settings.cut.sample_rate_hz
    line = piece[0].line
    entry = _line_entry(line, task.recording.audio_id)
    if len(piece) == 2:
        return entry.with_verdict(piece[1])
    _, start, stop, pcm = piece
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
    """Puts files in groups; on leaving, all that was put is written."""

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


def _line_entry(line: Line | BadLine, audio_id: str) -> Entry:
    if isinstance(line, BadLine):
        return Entry("line", audio_id, line.index, text=line.text)
    return Entry(
        kind="line",
        audio_id=audio_id,
        index=line.index,
        start_sec=line.start_sec,
        end_sec=line.end_sec,
        text=line.text,
        **label_values(line),
    )


def _describe_damage(report: DecodeReport, rate: int) -> str:
    """What is wrong with audio that could be decoded; empty when nothing is."""
    notes = []
    if report.damages:
        lost_sec = sum(item.stop - item.start for item in report.damages) / rate
        first = report.damages[0]
        notes.append(
            f"{len(report.damages)} damaged places, {lost_sec:.1f} s in all, "
            f"the first at {first.start / rate:.1f} s: {first.message}"
        )
    promised = report.info.duration_sec if report.info else 0.0
    short_sec = promised - report.sample_count / rate
    if short_sec > max(_TRUNCATED_SEC, _TRUNCATED_SHARE * promised):
        notes.append(f"the header promises {promised:.1f} s, only {report.sample_count / rate:.1f} s are there")
    return "; ".join(notes)


def _unreadable_result(
    task: CutTask, error: UnreadableAudioError, audio_sha256: str = "", transcript_sha256: str = ""
) -> CutResult:
    return _skipped_result(
        task, "unreadable", error.reason, str(error), audio_sha256, transcript_sha256, error.value, error.threshold
    )


def _skipped_result(
    task: CutTask,
    status: RecordingStatus,
    reason: str,
    message: str,
    audio_sha256: str = "",
    transcript_sha256: str = "",
    value: float | None = None,
    threshold: float | None = None,
) -> CutResult:
    """The outcome of a recording of which nothing is cut: one row answers for all of it, by its header's length."""
    recording = task.recording
    readable = status not in ("unreadable", "unreachable", "vanished")
    total = round(recording.duration_sec * task.settings.cut.sample_rate_hz) if readable else 0
    entry = Entry("recording", recording.audio_id, sample_count=total).with_verdict(
        Reject("recording", reason, value, threshold, message)
    )
    outcome = RecordingOutcome(
        audio_id=recording.audio_id,
        raw_key=recording.key,
        status=status,
        sample_count=total,
        audio_sha256=audio_sha256,
        transcript_key=recording.transcript.key if recording.transcript else "",
        transcript_sha256=transcript_sha256 or recording.transcript_sha256,
        message=message,
    )
    return CutResult(outcome, (entry,))
