"""Forgetting a recording: it leaves the batches for good, and everything made of it goes with the next build."""

from voice_core.corpus.batches import Batch, Recording, read_batches, read_tombstones, write_tombstone
from voice_core.store import Store


def find_recording(work: Store, name: str) -> tuple[Batch, Recording]:
    """The recording that AUDIO_ID or CHANNEL/AUDIO_ID names. Raises `LookupError` where that is none, or several."""
    found = [
        (batch, recording)
        for batch in read_batches(work)
        for recording in batch.recordings
        if name in (recording.audio_id, f"{recording.channel}/{recording.audio_id}")
    ]
    if len(found) == 1:
        return found[0]
    if found:
        names = ", ".join(f"{recording.channel}/{recording.audio_id}" for _, recording in found)
        raise LookupError(f"{name} is ambiguous: name one of {names}")
    gone = any(name in (audio_id, f"{channel}/{audio_id}") for channel, audio_id in read_tombstones(work))
    raise LookupError(f"{name} was forgotten before" if gone else f"no batch holds a recording {name}")


def forget(work: Store, name: str, *, when: str, why: str) -> Batch:
    """Write the tombstone. The next build of the batch removes the segments, the codes, the rows and the pairs."""
    batch, recording = find_recording(work, name)
    write_tombstone(work, recording.channel, recording.audio_id, when, why)
    return batch
