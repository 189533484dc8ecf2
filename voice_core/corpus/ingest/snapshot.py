"""Snapshot of a batch: the raw objects of its recordings as the store describes them now."""

import dataclasses
from collections.abc import Iterable, Mapping, Sequence

from voice_core.corpus.ingest.batch_model import Batch, Recording, is_same_object, with_header
from voice_core.corpus.ingest.batches import update_batch, update_recordings
from voice_core.corpus.ingest.recordings import probe_headers, split_extension
from voice_core.corpus.ingest.tombstones import read_tombstones
from voice_core.corpus.ingest.transcripts import transcript_extensions
from voice_core.fingerprint import sha256
from voice_core.layout import PartitionKey
from voice_core.settings import Settings
from voice_core.storage.store import ObjectInfo, Store, StoreError


def snapshot_batch(raw: Store, work: Store, partition: PartitionKey, settings: Settings) -> Batch:
    """Inspect every raw object of a batch and record the result in the batch file. Unchanged objects are not read.

    A recording that the store does not return keeps its earlier description; `trouble` holds the store's error.
    Raises `StoreError` if that is the case for all recordings and the bucket cannot be listed either.
    """
    tombstones = read_tombstones(work)
    inspected: dict[Recording, Recording] = {}

    def inspect(before: Batch) -> Batch:
        remaining = [item for item in before.recordings if (item.channel, item.audio_id) not in tombstones]
        inspected.update(_inspect_recordings(raw, [item for item in remaining if item not in inspected], settings))
        return dataclasses.replace(before, recordings=tuple(inspected[item] for item in remaining))

    return update_batch(work, partition, inspect)


def mark_transcripts_changed(work: Store, partition: PartitionKey, messages: Mapping[str, str]) -> None:
    """Make the next snapshot read transcripts again that changed after the last one; `messages` by audio id."""

    def mark(recording: Recording) -> Recording:
        if recording.audio_id not in messages:
            return recording
        return dataclasses.replace(recording, transcript_sha256="", trouble=messages[recording.audio_id])

    update_recordings(work, partition, mark)


def _inspect_recordings(raw: Store, recordings: Sequence[Recording], settings: Settings) -> dict[Recording, Recording]:
    by_key = {item.key: item for item in recordings}
    updated = dict(
        zip(recordings, raw.map_keys(lambda key: _inspect_recording(raw, by_key[key], settings), by_key), strict=True)
    )
    if updated and all(item.trouble for item in updated.values()):
        next(raw.listing(), None)  # raises if the whole bucket is unreachable
    there = [(old, new) for old, new in updated.items() if not (new.vanished or new.trouble or new.adopted)]
    unknown = [new.key for old, new in there if not _same_audio(new, old)]
    headers = probe_headers(raw, unknown, settings)
    header_by_key = {new.key: headers.get(new.key) or new.info or new.unreadable for _, new in there}
    return {
        old: with_header(new, header_by_key[new.key], settings.audio) if new.key in header_by_key else new
        for old, new in updated.items()
    }


def _same_audio(new: Recording, old: Recording) -> bool:
    return new.audio is not None and is_same_object(new.audio, old.audio)


def _inspect_recording(raw: Store, recording: Recording, settings: Settings) -> Recording:
    if recording.adopted is not None:
        return recording
    try:
        return _inspect_objects(raw, recording, settings)
    except StoreError as error:
        return dataclasses.replace(recording, trouble=str(error))


def _inspect_objects(raw: Store, recording: Recording, settings: Settings) -> Recording:
    stem, own = split_extension(recording.key)
    others = (extension for extension in settings.audio_extensions if extension != own)
    audio = raw.head(recording.key) or _find_first(raw, stem, others)  # another format may have replaced it
    if audio is None:
        return dataclasses.replace(recording, vanished=True, trouble="")
    transcript = _find_first(raw, stem, transcript_extensions())
    digest = ""
    if transcript is not None and transcript.size <= settings.max_transcript_mb * 1e6:
        known = recording.transcript == transcript and recording.transcript_sha256
        digest = recording.transcript_sha256 if known else sha256(raw.find(transcript.key) or b"")
    return dataclasses.replace(
        recording,
        key=audio.key,
        audio=audio,
        transcript=transcript,
        transcript_sha256=digest,
        vanished=False,
        trouble="",
    )


def _find_first(raw: Store, stem: str, extensions: Iterable[str]) -> ObjectInfo | None:
    """The first object that exists, with the extension in lower case, upper case or capitalised."""
    spellings = (spelt for ext in extensions for spelt in (ext, ext.upper(), ext[:2].upper() + ext[2:]))
    return next((item for spelt in spellings if (item := raw.head(stem + spelt)) is not None), None)
