"""Read the transcript and the audio of one recording, and detect whether they change meanwhile."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

from voice_core.corpus.ingest.recordings import split_extension
from voice_core.corpus.ingest.transcript_types import TranscriptError
from voice_core.corpus.segment.cut_task import CutTask
from voice_core.storage.store import StoreError


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
