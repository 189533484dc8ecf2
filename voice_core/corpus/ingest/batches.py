"""Batches: append-only groups of a channel's recordings, and what is known of each recording in them.

A recording is assigned to a batch once. A full batch is sealed; new recordings open the next one. The batch
file is the record of both: who belongs to it, and the raw objects as they were when it was last snapshotted.
"""

import contextlib
import dataclasses
import itertools
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from voice_core.audio.decoding import AudioInfo, OutOfLimitsError, find_exceeded_limit
from voice_core.corpus.ingest.recordings import ListedRecording, Stray, probe_headers, split_extension
from voice_core.corpus.ingest.transcripts import TRANSCRIPT_EXTENSIONS
from voice_core.fingerprint import fingerprint, sha256
from voice_core.layout import BATCHES, CONTENTS, TOMBSTONES, PartitionKey, batch_key, slug, tombstone_key
from voice_core.settings import AudioSettings, Settings
from voice_core.storage.distributed_lock import hold_lock
from voice_core.storage.state_files import DamagedStateError, parse_state
from voice_core.storage.store import ConflictError, ObjectInfo, Store, StoreError

BATCH_VERSION = 1
_REMEDY = "`voice build` makes it again"
_TOMBSTONE_REMEDY = (
    "It says which recording was forgotten, and its name is made of the channel and the audio id: restore it from a "
    'copy, or write {"channel": "…", "audio_id": "…"} to it'
)

ChangeKind = Literal["", "new", "changed", "vanished", "unreachable"]


@dataclass(frozen=True, slots=True)
class Adoption:
    """Where the segments of a recording come from that was cut elsewhere; `voice adopt` writes this.

    `identity` stands for the files as their store names them and for how they were adopted, `content` for the rows
    that came of it; both are empty until that is done. `codec` and `revision` name the codes that the files hold.
    """

    url: str
    identity: str = ""
    content: str = ""
    codec: str = ""
    revision: str = ""


@dataclass(frozen=True, slots=True)
class Recording:
    """One long audio object. `audio` is None until its batch was snapshotted for the first time.

    Of an adopted one there are only segments: `key` is a pattern of their files' names below `adopted.url`.
    """

    channel: str
    audio_id: str
    key: str
    info: AudioInfo | None = None
    unreadable: str = ""
    audio: ObjectInfo | None = None
    transcript: ObjectInfo | None = None
    transcript_sha256: str = ""
    vanished: bool = False
    trouble: str = ""  # why the store would not show it last time; the rest is what was known before
    adopted: Adoption | None = None

    @property
    def duration_sec(self) -> float:
        """By its header; 0 when that says nothing, or claims what the limits of the last snapshot exclude."""
        return self.info.duration_sec if self.info and not self.unreadable else 0.0

    def broken_limit(self, limits: AudioSettings) -> OutOfLimitsError | None:
        """The limit that its header breaks."""
        return find_exceeded_limit(self.info, self.audio.size if self.audio else 0, limits) if self.info else None

    def change_since(self, found: ListedRecording | None) -> ChangeKind:
        """How the listing differs from this. Its own key is its audio as long as that is there."""
        if self.adopted is not None:
            return ""
        if found is None:
            return "" if self.vanished else "vanished"
        if self.trouble:
            return "unreachable"
        if self.audio is None:
            return "new"
        there = next((item for item in (found.audio, *found.others) if item.key == self.key), None)
        same = not self.vanished and _same_object(self.audio, there) and _same_object(self.transcript, found.transcript)
        return "" if same else "changed"

    def updated_from(self, found: ListedRecording | None) -> "Recording":
        """As the next snapshot will describe it, going by the listing; a new transcript's hash is left empty."""
        if self.adopted is not None:
            return self
        if found is None:
            return dataclasses.replace(self, vanished=True, trouble="")
        audio = next((item for item in (found.audio, *found.others) if item.key == self.key), found.audio)
        known = _same_object(self.transcript, found.transcript)
        return dataclasses.replace(
            self,
            key=audio.key,
            audio=self.audio if _same_object(self.audio, audio) else audio,
            transcript=self.transcript if known else found.transcript,
            transcript_sha256=self.transcript_sha256 if known else "",
            vanished=False,
            trouble="",
        )


def _same_object(one: ObjectInfo | None, other: ObjectInfo | None) -> bool:
    if one is None or other is None:
        return one is other
    return (one.key, one.identity) == (other.key, other.identity)


@dataclass(frozen=True, slots=True)
class _Tombstone:
    channel: str
    audio_id: str


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
    def adopted(self) -> bool:
        """Whether its recordings were adopted: these never share a batch with those of the raw bucket."""
        return any(recording.adopted is not None for recording in self.recordings)

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
        return fingerprint(self._plain())

    def _plain(self) -> dict[str, Any]:
        value = dataclasses.asdict(self)
        for recording in value["recordings"]:
            for name in ("adopted", "trouble"):
                if not recording[name]:
                    del recording[name]
        return value

    def to_bytes(self) -> bytes:
        value = {"version": BATCH_VERSION, **self._plain()}
        return (json.dumps(value, ensure_ascii=False, indent=1) + "\n").encode("utf-8", "surrogatepass")


class _OtherBatchError(DamagedStateError):
    def __init__(self, store: Store, key: str, batch: Batch) -> None:
        super().__init__(store, key, f"describes another batch, {batch.partition}", _REMEDY)
        self.batch = batch


def parse_batch(store: Store, partition: PartitionKey, data: bytes) -> Batch:
    """The content of a batch file. Raises `DamagedStateError` also where it is that of another batch."""
    key = batch_key(partition)
    batch = parse_state(store, key, data, Batch, version=BATCH_VERSION, remedy=_REMEDY)
    if batch.partition != partition:
        raise _OtherBatchError(store, key, batch)
    return batch


def read_batch(store: Store, partition: PartitionKey) -> Batch:
    """Raises `LookupError` for a partition that was never discovered, `StateFileError` for a damaged file."""
    data = store.find(batch_key(partition))
    if data is None:
        raise LookupError(f"there is no batch {partition} under {store.url}: run `voice build` or the discovery sensor")
    return parse_batch(store, partition, data)


def write_batch(store: Store, batch: Batch) -> None:
    """Write a new batch. Raises `ConflictError` where there is one of its number."""
    store.put(batch_key(batch.partition), batch.to_bytes(), if_absent=True)


def replace_batch(store: Store, batch: Batch, before: Batch) -> None:
    """Write a batch in place of `before`. Raises `ConflictError` where that is no longer what lies there."""
    key = batch_key(batch.partition)
    # A folder cannot compare and write in one go as buckets do.
    local = store.local_root is not None
    with hold_lock(store, f"batches {batch.channel}") if local else contextlib.nullcontext(store) as store:
        info, data = store.head(key), store.find(key)
        if info is None or data is None or parse_batch(store, before.partition, data) != before:
            raise ConflictError(f"put {store.url}/{key}: somebody else wrote it meanwhile")
        store.put(key, batch.to_bytes(), if_unchanged=info)


@dataclass(frozen=True, slots=True)
class BatchListing:
    """What lies under `batches/`. `contents` are the batches that have a file of content hashes."""

    partitions: tuple[PartitionKey, ...]
    contents: frozenset[PartitionKey]
    strays: tuple[Stray, ...]

    @property
    def missing(self) -> list[PartitionKey]:
        """Batches whose own file is gone."""
        return sorted(self.contents - set(self.partitions))


def list_batches(store: Store) -> BatchListing:
    partitions: list[PartitionKey] = []
    contents: set[PartitionKey] = set()
    strays: list[Stray] = []
    for item in store.listing(BATCHES):
        name = item.key.removeprefix(BATCHES)
        stem = name.removesuffix(".json").removesuffix(CONTENTS)
        partition = PartitionKey.find(stem) if name.endswith(".json") else None
        if partition is None:
            strays.append(Stray(f"{store.url}/{item.key}", "not the name of a batch file"))
        elif item.key == batch_key(partition):
            partitions.append(partition)
        else:
            contents.add(partition)
    return BatchListing(tuple(sorted(partitions)), frozenset(contents), tuple(strays))


def list_partitions(store: Store) -> list[PartitionKey]:
    """All batches there are, in order."""
    return list(list_batches(store).partitions)


@dataclass(frozen=True, slots=True)
class BatchReadResult:
    """Batches that were read, the errors of files that cannot be used, and files of another channel's batch."""

    batches: tuple[Batch, ...]
    damaged: Mapping[PartitionKey, DamagedStateError]
    strays: tuple[Stray, ...]


def try_read_batches(store: Store, partitions: Iterable[PartitionKey]) -> BatchReadResult:
    """Read these batches; one that is not there is left out."""
    by_key = {batch_key(partition): partition for partition in partitions}
    found: list[Batch] = []
    damaged: dict[PartitionKey, DamagedStateError] = {}
    strays: list[Stray] = []
    for partition, data in zip(by_key.values(), store.map_keys(store.find, by_key), strict=True):
        if data is None:
            continue
        try:
            found.append(parse_batch(store, partition, data))
        except _OtherBatchError as error:
            if error.batch.partition.channel == partition.channel:
                damaged[partition] = error
            else:
                strays.append(Stray(f"{store.url}/{error.key}", error.why))
        except DamagedStateError as error:
            damaged[partition] = error
    return BatchReadResult(tuple(found), damaged, tuple(strays))


def read_batches(store: Store, partitions: Iterable[PartitionKey] | None = None) -> list[Batch]:
    """These batches, or all there are; one that is not there is left out. Raises `StateFileError`."""
    found = try_read_batches(store, list_partitions(store) if partitions is None else partitions)
    for error in found.damaged.values():
        raise error
    return list(found.batches)


def assign_to_batches(batches: Iterable[Batch], newcomers: Iterable[Recording], settings: Settings) -> list[Batch]:
    """Deal new recordings to batches, in order of channel and id; returns the batches that changed. Pure."""
    last: dict[str, int] = {}
    open_batches: dict[tuple[str, bool], Batch] = {}
    for batch in sorted(batches, key=lambda item: item.number):
        last[batch.channel] = batch.number
        open_batches[batch.channel, batch.adopted] = batch
    order = sorted(newcomers, key=lambda item: (item.channel, item.adopted is not None, item.audio_id))
    changed: list[Batch] = []
    for (channel, adopted), group in itertools.groupby(
        order, key=lambda item: (item.channel, item.adopted is not None)
    ):
        start = open_batches.get((channel, adopted)) or Batch(channel, 0, sealed=True)
        changed.extend(_fill_batches(start, last.get(channel, 0), group, settings))
        last[channel] = max(last.get(channel, 0), changed[-1].number)
    return changed


def _fill_batches(start: Batch, last: int, newcomers: Iterable[Recording], settings: Settings) -> Iterator[Batch]:
    """Fill a batch, then new ones with the numbers after `last`."""
    number, members, sealed, hours = start.number, list(start.recordings), start.sealed, start.hours
    touched = False
    for recording in newcomers:
        if sealed:
            if touched:
                yield Batch(start.channel, number, True, tuple(members))
            number = last = last + 1
            members, hours = [], 0.0
        members.append(recording)
        hours += recording.duration_sec / 3600
        touched = True
        sealed = len(members) >= settings.batch.max_recordings or hours >= settings.batch.max_hours
    yield Batch(start.channel, number, sealed, tuple(members))


def with_header(recording: Recording, header: AudioInfo | str, limits: AudioSettings) -> Recording:
    """The recording with what its header says, and why it cannot be used, where that is so."""
    if isinstance(header, AudioInfo):
        broken = dataclasses.replace(recording, info=header).broken_limit(limits)
        return dataclasses.replace(recording, info=header, unreadable=str(broken or ""))
    return dataclasses.replace(recording, info=None, unreadable=header)


def snapshot_batch(raw: Store, work: Store, partition: PartitionKey, settings: Settings) -> Batch:
    """Look at every raw object of a batch again and write down what is there. What is unchanged is not read.

    A recording that the store would not show keeps what was known of it, with the store's message as its trouble.
    Raises `StoreError` where that is all of them and the bucket cannot be listed either.
    """
    tombstones = read_tombstones(work)
    inspected: dict[Recording, Recording] = {}
    while True:
        before = read_batch(work, partition)
        remaining = [item for item in before.recordings if (item.channel, item.audio_id) not in tombstones]
        inspected |= _inspect_recordings(raw, [item for item in remaining if item not in inspected], settings)
        batch = dataclasses.replace(before, recordings=tuple(inspected[item] for item in remaining))
        if batch == before:
            return batch
        try:
            replace_batch(work, batch, before)
        except ConflictError:  # a discovery added recordings meanwhile
            continue
        return batch


def mark_transcripts_changed(work: Store, partition: PartitionKey, messages: Mapping[str, str]) -> None:
    """Make the next snapshot read transcripts again that were not what the last one read; messages by audio id."""
    while True:
        before = read_batch(work, partition)
        batch = dataclasses.replace(
            before,
            recordings=tuple(
                dataclasses.replace(item, transcript_sha256="", trouble=messages[item.audio_id])
                if item.audio_id in messages
                else item
                for item in before.recordings
            ),
        )
        try:
            replace_batch(work, batch, before)
        except ConflictError:
            continue
        return


def _inspect_recordings(raw: Store, recordings: Sequence[Recording], settings: Settings) -> dict[Recording, Recording]:
    by_key = {item.key: item for item in recordings}
    updated = dict(
        zip(recordings, raw.map_keys(lambda key: _inspect_recording(raw, by_key[key], settings), by_key), strict=True)
    )
    if updated and all(item.trouble for item in updated.values()):
        next(raw.listing(), None)  # raises where the bucket as a whole is out of reach
    there = [(old, new) for old, new in updated.items() if not (new.vanished or new.trouble or new.adopted)]
    unknown = [new.key for old, new in there if not _same_audio(new, old)]
    headers = probe_headers(raw, unknown, settings)
    header_by_key = {new.key: headers.get(new.key) or new.info or new.unreadable for _, new in there}
    return {
        old: with_header(new, header_by_key[new.key], settings.audio) if new.key in header_by_key else new
        for old, new in updated.items()
    }


def _same_audio(new: Recording, old: Recording) -> bool:
    return new.audio is not None and _same_object(new.audio, old.audio)


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
    audio = raw.head(recording.key) or _find_first(raw, stem, others)  # replaced by another format, perhaps
    if audio is None:
        return dataclasses.replace(recording, vanished=True, trouble="")
    transcript = _find_first(raw, stem, TRANSCRIPT_EXTENSIONS)
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
    """The first object that there is, also where its extension is in capitals."""
    spellings = (spelt for ext in extensions for spelt in (ext, ext.upper(), ext[:2].upper() + ext[2:]))
    return next((item for spelt in spellings if (item := raw.head(stem + spelt)) is not None), None)


def read_tombstones(store: Store) -> set[tuple[str, str]]:
    """(channel, audio_id) of every recording that was forgotten.

    Raises `StateFileError` for a damaged tombstone: to pass over it would bring the recording back.
    """
    keys = [item.key for item in store.listing(TOMBSTONES)]
    parsed = (
        parse_tombstone(store, key, data) for key, data in zip(keys, store.map_keys(store.get, keys), strict=True)
    )
    return {tombstone for tombstone in parsed if tombstone is not None}


def parse_tombstone(store: Store, key: str, data: bytes) -> tuple[str, str] | None:
    """(channel, audio_id); None for a file that is no tombstone by its name."""
    if not key.endswith(".json"):
        return None
    tombstone = parse_state(store, key, data, _Tombstone, remedy=_TOMBSTONE_REMEDY)
    return tombstone.channel, tombstone.audio_id


def read_tombstone(store: Store, channel: str, audio_id: str) -> dict[str, Any] | None:
    """None where the recording was not forgotten."""
    data = store.find(tombstone_key(channel, audio_id))
    return json.loads(data) if data is not None else None


def write_tombstone(
    store: Store, channel: str, audio_id: str, when: str, why: str, pending: Mapping[str, Any] | None = None
) -> None:
    """`pending` says what is still to be done until everything that was made of the recording is removed."""
    tombstone: dict[str, Any] = {"channel": channel, "audio_id": audio_id, "forgotten_at": when, "why": why}
    if pending is not None:
        tombstone["pending"] = pending
    data = (json.dumps(tombstone, ensure_ascii=False) + "\n").encode("utf-8", "surrogatepass")
    store.put(tombstone_key(channel, audio_id), data)
