"""Batches: append-only groups of a channel's recordings, and what is known of each recording in them.

A recording is assigned to a batch once. A full batch is sealed; new recordings open the next one. The batch
file is the record of both: who belongs to it, and the raw objects as they were when it was last snapshotted.
"""

import dataclasses
import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from voice_core.corpus.recordings import Found, Listing, list_raw, probe_all, split_extension
from voice_core.corpus.transcripts import TRANSCRIPT_EXTENSIONS
from voice_core.decoding import AudioInfo
from voice_core.fingerprint import fingerprint, sha256
from voice_core.layout import BATCHES, TOMBSTONES, PartitionKey, batch_key, slug, tombstone_key
from voice_core.settings import Settings
from voice_core.store import ObjectInfo, Store

BATCH_VERSION = 1


@dataclass(frozen=True, slots=True)
class Recording:
    """One long audio object. `audio` is None until its batch was snapshotted for the first time."""

    channel: str
    audio_id: str
    key: str
    info: AudioInfo | None = None
    unreadable: str = ""
    audio: ObjectInfo | None = None
    transcript: ObjectInfo | None = None
    transcript_sha256: str = ""
    vanished: bool = False

    @property
    def duration_sec(self) -> float:
        """By its header; 0 when that says nothing."""
        return self.info.duration_sec if self.info else 0.0

    def shows(self, found: Found | None) -> bool:
        """Whether this is what the listing shows. Its own key is its audio as long as that is there."""
        if found is None:
            return self.vanished
        if self.audio is None or self.vanished:
            return False
        there = next((item for item in (found.audio, *found.others) if item.key == self.key), None)
        return _same(self.audio, there) and _same(self.transcript, found.transcript)


def _same(one: ObjectInfo | None, other: ObjectInfo | None) -> bool:
    if one is None or other is None:
        return one is other
    return (one.key, one.identity) == (other.key, other.identity)


@dataclass(frozen=True, slots=True)
class Batch:
    channel: str
    number: int
    sealed: bool = False
    recordings: tuple[Recording, ...] = ()

    @property
    def partition(self) -> PartitionKey:
        return PartitionKey(slug(self.channel), self.number)

    @property
    def hours(self) -> float:
        return sum(recording.duration_sec for recording in self.recordings) / 3600

    def formats(self) -> dict[str, int]:
        """Recordings by codec, rate and channel count.

        >>> Batch("a", 1).formats()
        {}
        """
        infos = [recording.info for recording in self.recordings if recording.info]
        names = [f"{info.codec} {info.sample_rate_hz} Hz, {info.channels} ch" for info in infos]
        return dict(sorted(Counter(names).items()))

    @property
    def data_version(self) -> str:
        return fingerprint(dataclasses.asdict(self))

    def to_bytes(self) -> bytes:
        value = {"version": BATCH_VERSION, **dataclasses.asdict(self)}
        return (json.dumps(value, ensure_ascii=False, indent=1) + "\n").encode("utf-8", "surrogatepass")

    @classmethod
    def from_bytes(cls, data: bytes) -> "Batch":
        value = json.loads(data)
        if value.pop("version") != BATCH_VERSION:
            raise ValueError("this batch file was written by another version of the program")
        recordings = tuple(_recording(item) for item in value.pop("recordings"))
        return cls(**value, recordings=recordings)


def _recording(item: dict[str, Any]) -> Recording:
    parts: dict[str, Any] = {}
    for name, kind in (("info", AudioInfo), ("audio", ObjectInfo), ("transcript", ObjectInfo)):
        value = item.pop(name)
        parts[name] = kind(**value) if value is not None else None
    return Recording(**item, **parts)


def read_batch(store: Store, partition: PartitionKey) -> Batch:
    """Raises `LookupError` for a partition that was never discovered."""
    data = store.find(batch_key(partition))
    if data is None:
        raise LookupError(f"there is no batch {partition} under {store.url}: run `voice build` or the discovery sensor")
    return Batch.from_bytes(data)


def write_batch(store: Store, batch: Batch) -> None:
    store.put(batch_key(batch.partition), batch.to_bytes())


def list_partitions(store: Store) -> list[PartitionKey]:
    """All batches there are, in order."""
    keys = [item.key for item in store.listing(BATCHES)]
    names = [key[len(BATCHES) : -len(".json")] for key in keys if key.endswith(".json")]
    return sorted(PartitionKey.parse(name) for name in names if not name.endswith(".contents"))


def read_batches(store: Store) -> list[Batch]:
    keys = [batch_key(partition) for partition in list_partitions(store)]
    return [Batch.from_bytes(data) for data in store.each(store.get, keys)]


def assign(batches: Iterable[Batch], newcomers: Iterable[Recording], settings: Settings) -> list[Batch]:
    """Deal new recordings to batches, in order of channel and id; returns the batches that changed. Pure."""
    latest: dict[str, Batch] = {}
    for batch in batches:
        if batch.channel not in latest or latest[batch.channel].number < batch.number:
            latest[batch.channel] = batch
    changed: dict[PartitionKey, Batch] = {}
    for recording in sorted(newcomers, key=lambda item: (item.channel, item.audio_id)):
        last = latest.get(recording.channel)
        if last is None or last.sealed:
            last = Batch(recording.channel, last.number + 1 if last else 1)
        batch = last
        batch = dataclasses.replace(batch, recordings=(*batch.recordings, recording))
        full = len(batch.recordings) >= settings.batch.max_recordings or batch.hours >= settings.batch.max_hours
        batch = dataclasses.replace(batch, sealed=full)
        latest[recording.channel] = changed[batch.partition] = batch
    return list(changed.values())


@dataclass(frozen=True, slots=True)
class Discovery:
    """What the raw bucket holds, compared with the batches."""

    listing: Listing
    batches: tuple[Batch, ...]
    new: int  # recordings that were assigned just now
    changed: tuple[PartitionKey, ...]  # batches whose snapshot no longer shows what the listing shows


def discover(raw: Store, work: Store, settings: Settings) -> Discovery:
    """List the raw bucket, assign new recordings to batches, and say which batches need a new snapshot."""
    listing = list_raw(raw, settings)
    batches = {batch.partition: batch for batch in read_batches(work)}
    assigned = {(item.channel, item.audio_id) for batch in batches.values() for item in batch.recordings}
    gone = read_tombstones(work)
    new = [found for name, found in listing.recordings.items() if name not in assigned | gone]
    headers = probe_all(raw, [found.audio.key for found in new])
    newcomers = [_described(Recording(f.channel, f.audio_id, f.audio.key), headers[f.audio.key]) for f in new]
    for batch in assign(batches.values(), newcomers, settings):
        write_batch(work, batch)
        batches[batch.partition] = batch
    ordered = tuple(batches[partition] for partition in sorted(batches))
    changed = tuple(batch.partition for batch in ordered if not _shows(batch, listing, gone, settings))
    return Discovery(listing, ordered, len(new), changed)


def _shows(batch: Batch, listing: Listing, gone: set[tuple[str, str]], settings: Settings) -> bool:
    if settings.channels and batch.channel not in settings.channels:
        return True
    return all(
        (item.channel, item.audio_id) not in gone and item.shows(listing.recordings.get((item.channel, item.audio_id)))
        for item in batch.recordings
    )


def _described(recording: Recording, header: AudioInfo | str) -> Recording:
    if isinstance(header, AudioInfo):
        return dataclasses.replace(recording, info=header, unreadable="")
    return dataclasses.replace(recording, info=None, unreadable=header)


def snapshot(raw: Store, work: Store, partition: PartitionKey, settings: Settings) -> Batch:
    """Look at every raw object of a batch again and write down what is there. What is unchanged is not read."""
    before = read_batch(work, partition)
    gone = read_tombstones(work)
    stay = [item for item in before.recordings if (item.channel, item.audio_id) not in gone]
    by_key = {item.key: item for item in stay}
    seen = raw.each(lambda key: _look(raw, by_key[key], settings), by_key)
    unknown = [r.key for r, old in zip(seen, stay, strict=True) if not r.vanished and not _same_audio(r, old)]
    headers = probe_all(raw, unknown)
    seen = [_described(item, headers[item.key]) if item.key in headers else item for item in seen]
    batch = dataclasses.replace(before, recordings=tuple(seen))
    if batch != before:
        write_batch(work, batch)
    return batch


def _same_audio(new: Recording, old: Recording) -> bool:
    return new.audio is not None and _same(new.audio, old.audio)


def _look(raw: Store, recording: Recording, settings: Settings) -> Recording:
    stem, own = split_extension(recording.key)
    others = (extension for extension in settings.audio_extensions if extension != own)
    audio = raw.head(recording.key) or _first(raw, stem, others)  # replaced by another format, perhaps
    if audio is None:
        return dataclasses.replace(recording, vanished=True)
    transcript = _first(raw, stem, TRANSCRIPT_EXTENSIONS)
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
    )


def _first(raw: Store, stem: str, extensions: Iterable[str]) -> ObjectInfo | None:
    """The first object that there is, also where its extension is in capitals."""
    spellings = (spelt for ext in extensions for spelt in (ext, ext.upper(), ext[:2].upper() + ext[2:]))
    return next((item for spelt in spellings if (item := raw.head(stem + spelt)) is not None), None)


def read_tombstones(store: Store) -> set[tuple[str, str]]:
    """(channel, audio_id) of every recording that was forgotten."""
    keys = [item.key for item in store.listing(TOMBSTONES)]
    stones = [json.loads(data) for data in store.each(store.get, keys)]
    return {(stone["channel"], stone["audio_id"]) for stone in stones}


def write_tombstone(store: Store, channel: str, audio_id: str, when: str, why: str) -> None:
    stone = {"channel": channel, "audio_id": audio_id, "forgotten_at": when, "why": why}
    data = (json.dumps(stone, ensure_ascii=False) + "\n").encode("utf-8", "surrogatepass")
    store.put(tombstone_key(channel, audio_id), data)
