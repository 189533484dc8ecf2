"""The input and result of cutting one recording, as they are sent to and from worker processes.

The functions at the end read its transcript and audio, and detect whether they change meanwhile.
"""

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from voice_core.audio.header import UnreadableAudioError
from voice_core.corpus.ingest.batch_model import Recording
from voice_core.corpus.ingest.recordings import split_extension
from voice_core.corpus.ingest.transcript_types import TranscriptError
from voice_core.corpus.manifest import Entry, RecordingOutcome, RecordingStatus
from voice_core.layout import PartitionKey
from voice_core.settings import Settings
from voice_core.stages.verdicts import Reject
from voice_core.storage.scratch import Scratch
from voice_core.storage.store import Store, StoreError

NO_ROOM = "no_room"  # reject reason: the recording is larger than the local disk space it may use
NOT_READ = "not_read"  # reject reason: the raw bucket did not return an object that it lists


@dataclass(frozen=True, slots=True)
class CutTask:
    """One recording to cut.

    `audio_sha256` is set if the object has not changed since it had this hash. `previous` is the recording's last
    outcome, `reusable` its rows with files, by fingerprint. `scratch` holds a copy of the audio if the raw bucket is
    remote. With `only_files`, only files with these keys and hashes are written.
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
        """The size of the local copy of the audio; 0 if no copy is made."""
        audio = self.recording.audio
        return audio.size if audio and self.scratch and self.scratch.fits(audio.size) else 0


@dataclass(frozen=True, slots=True)
class CutResult:
    """The outcome of a recording and its rows. `cut` is the number of lines that were cut, not reused."""

    outcome: RecordingOutcome
    entries: tuple[Entry, ...]
    decoded_sec: float = 0.0
    cut: int = 0


def unreadable_result(
    task: CutTask, error: UnreadableAudioError, audio_sha256: str = "", transcript_sha256: str = ""
) -> CutResult:
    """The result for a recording whose audio cannot be decoded."""
    return skipped_result(
        task, "unreadable", error.reason, str(error), audio_sha256, transcript_sha256, error.value, error.threshold
    )


def skipped_result(
    task: CutTask,
    status: RecordingStatus,
    reason: str,
    message: str,
    audio_sha256: str = "",
    transcript_sha256: str = "",
    value: float | None = None,
    threshold: float | None = None,
) -> CutResult:
    """The result for a recording of which nothing is cut: one row accounts for its length, as the header states it."""
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


def read_transcript(task: CutTask) -> bytes:
    """The bytes of the transcript. Raises `TranscriptError` if it is too large, and `StoreError`."""
    transcript = task.recording.transcript
    assert transcript is not None
    limit_mb = task.settings.max_transcript_mb
    if transcript.size > limit_mb * 1e6:
        found = f"{transcript.key} has {transcript.size / 1e6:,.1f} MB"
        raise TranscriptError("transcript_too_large", f"{found}; VOICE_MAX_TRANSCRIPT_MB allows {limit_mb:g}")
    return task.raw.get(transcript.key)


@contextlib.contextmanager
def open_local_audio(task: CutTask) -> Iterator[tuple[Path, str]]:
    """The audio as a local file, and its hash. From a remote store: a copy in the scratch folder, removed afterwards.

    Raises `StoreError`, and `ScratchLimitError` if the copy is too large.
    """
    key = task.recording.key
    check_not_replaced(task)
    if task.raw.local_root is not None:
        yield task.raw.local_root / key, task.audio_sha256 or task.raw.hash(key)
        return
    assert task.scratch is not None
    assert task.recording.audio is not None
    with task.scratch.reserve(task.recording.audio.size, f"a copy of {key}") as folder:
        path = folder / f"audio{split_extension(key)[1]}"  # FFmpeg uses the extension too
        yield path, task.raw.download(key, path, task.recording.audio)


def check_not_replaced(task: CutTask) -> None:
    """Raise `StoreError` if the audio is not the object of the snapshot: segments of both objects would be mixed."""
    recording = task.recording
    there = task.raw.head(recording.key)
    if recording.audio is None or there is None or there.identity != recording.audio.identity:
        raise StoreError(
            f"{recording.key} was replaced after its batch was inspected; the next build reads the new object"
        )


def file_signature(task: CutTask) -> tuple[int, ...]:
    """Values that change with every write to a local file, even if its modification time is reset."""
    if task.raw.local_root is None:
        return ()
    try:
        status = (task.raw.local_root / task.recording.key).stat()
    except OSError:
        return ()
    return (status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
