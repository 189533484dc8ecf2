"""The input and result of cutting one recording, as they are sent to and from worker processes."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from voice_core.audio.header import UnreadableAudioError
from voice_core.corpus.ingest.batch_model import Recording
from voice_core.corpus.manifest import Entry, RecordingOutcome, RecordingStatus
from voice_core.layout import PartitionKey
from voice_core.settings import Settings
from voice_core.stages.verdicts import Reject
from voice_core.storage.scratch import Scratch
from voice_core.storage.store import Store

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
