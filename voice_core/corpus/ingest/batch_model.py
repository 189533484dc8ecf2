"""Batches and the recordings in them: append-only groups of a channel's recordings. Pure.

A recording is assigned to a batch once. A full batch is sealed, and new recordings open the next one.
"""

import dataclasses
import itertools
import json
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

from voice_core.audio.header import AudioInfo, OutOfLimitsError, find_exceeded_limit
from voice_core.corpus.ingest.recordings import ListedRecording
from voice_core.fingerprint import fingerprint
from voice_core.layout import PartitionKey, slug
from voice_core.settings import AudioSettings, Settings
from voice_core.storage.store import ObjectInfo

BATCH_VERSION = 1

ChangeKind = Literal["", "new", "changed", "vanished", "unreachable"]


@dataclass(frozen=True, slots=True)
class Adoption:
    """The source of a recording's segments that another program cut. `voice adopt` writes it.

    `identity` covers the files as their store names them and the adopt parameters; `content` covers the resulting
    rows. Both are empty until the recording is adopted. `codec` and `revision` name the codec that made the codes in
    the files.
    """

    url: str
    identity: str = ""
    content: str = ""
    codec: str = ""
    revision: str = ""


@dataclass(frozen=True, slots=True)
class Recording:
    """One long audio object. `audio` is None until the first snapshot of its batch.

    An adopted recording has segment files only: `key` is a pattern of their names below `adopted.url`.
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
    trouble: str = ""  # the store's error at the last snapshot; the other fields keep their earlier values
    adopted: Adoption | None = None

    @property
    def duration_sec(self) -> float:
        """The duration that the header states; 0 if the header is missing or exceeds the limits of the snapshot."""
        return self.info.duration_sec if self.info and not self.unreadable else 0.0

    def broken_limit(self, limits: AudioSettings) -> OutOfLimitsError | None:
        """The limit that the header exceeds."""
        return find_exceeded_limit(self.info, self.audio.size if self.audio else 0, limits) if self.info else None

    def change_since(self, found: ListedRecording | None) -> ChangeKind:
        """How the listing differs from the last snapshot. `key` stays the audio for as long as it exists."""
        if self.adopted is not None:
            return ""
        if found is None:
            return "" if self.vanished else "vanished"
        if self.trouble:
            return "unreachable"
        if self.audio is None:
            return "new"
        there = next((item for item in (found.audio, *found.others) if item.key == self.key), None)
        same = not self.vanished and is_same_object(self.audio, there)
        return "" if same and is_same_object(self.transcript, found.transcript) else "changed"

    def updated_from(self, found: ListedRecording | None) -> "Recording":
        """The recording as the next snapshot will describe it, by the listing. A new transcript has no hash yet."""
        if self.adopted is not None:
            return self
        if found is None:
            return dataclasses.replace(self, vanished=True, trouble="")
        audio = next((item for item in (found.audio, *found.others) if item.key == self.key), found.audio)
        known = is_same_object(self.transcript, found.transcript)
        return dataclasses.replace(
            self,
            key=audio.key,
            audio=self.audio if is_same_object(self.audio, audio) else audio,
            transcript=self.transcript if known else found.transcript,
            transcript_sha256=self.transcript_sha256 if known else "",
            vanished=False,
            trouble="",
        )


def is_same_object(one: ObjectInfo | None, other: ObjectInfo | None) -> bool:
    """Whether the store names both alike; None equals None."""
    if one is None or other is None:
        return one is other
    return (one.key, one.identity) == (other.key, other.identity)


def with_header(recording: Recording, header: AudioInfo | str, limits: AudioSettings) -> Recording:
    """The recording with its header, and the reason why the audio cannot be used, if any."""
    if isinstance(header, AudioInfo):
        broken = dataclasses.replace(recording, info=header).broken_limit(limits)
        return dataclasses.replace(recording, info=header, unreadable=str(broken or ""))
    return dataclasses.replace(recording, info=None, unreadable=header)


@dataclass(frozen=True, slots=True)
class Batch:
    """A partition: the recordings of a channel that are processed together."""

    channel: str
    number: int
    sealed: bool = False
    recordings: tuple[Recording, ...] = ()

    @property
    def partition(self) -> PartitionKey:
        return PartitionKey(slug(self.channel), self.number)

    @property
    def adopted(self) -> bool:
        """Whether its recordings were adopted. Adopted recordings do not share a batch with those of the raw bucket."""
        return any(recording.adopted is not None for recording in self.recordings)

    @property
    def hours(self) -> float:
        return sum(recording.duration_sec for recording in self.recordings) / 3600

    def formats(self) -> dict[str, int]:
        """Number of recordings by codec, sample rate and channel count.

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


def assign_to_batches(batches: Iterable[Batch], newcomers: Iterable[Recording], settings: Settings) -> list[Batch]:
    """Assign new recordings to batches, ordered by channel and id; returns the batches that changed."""
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
