"""List the recordings in the raw bucket. Only audio headers are read."""

import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field

from voice_core.audio.header import AudioInfo, UnreadableAudioError, probe
from voice_core.compute import progress
from voice_core.corpus.ingest.transcripts import transcript_extensions
from voice_core.settings import Settings
from voice_core.storage.store import ObjectInfo, Store, StoreError


@dataclass(frozen=True, slots=True)
class ListedRecording:
    """A recording in the listing. `others` are additional audio files with the same id; they are not used."""

    channel: str
    audio_id: str
    audio: ObjectInfo
    transcript: ObjectInfo | None
    others: tuple[ObjectInfo, ...] = ()


@dataclass(frozen=True, slots=True)
class Stray:
    """An object that does not belong to a recording."""

    key: str
    reason: str


@dataclass(slots=True)
class RecordingListing:
    recordings: dict[tuple[str, str], ListedRecording] = field(default_factory=dict)  # by (channel, audio_id)
    strays: list[Stray] = field(default_factory=list)


def list_raw_recordings(store: Store, settings: Settings) -> RecordingListing:
    """List the raw bucket and pair recordings with transcripts."""
    return pair_transcripts(store.listing(), settings)


def pair_transcripts(objects: Iterable[ObjectInfo], settings: Settings) -> RecordingListing:
    """Pair audio files with the transcripts beside them. Pure."""
    pattern = _compile_pattern(settings.raw_pattern)
    audio: dict[tuple[str, str], list[tuple[int, ObjectInfo]]] = defaultdict(list)
    transcripts: dict[tuple[str, str], list[tuple[int, ObjectInfo]]] = defaultdict(list)
    transcript_types = transcript_extensions()
    listing = RecordingListing()
    for item in objects:
        if item.unusable:
            listing.strays.append(Stray(item.key, item.unusable))
            continue
        stem, extension = split_extension(item.key)
        match = pattern.fullmatch(stem)
        if match is None:
            listing.strays.append(Stray(item.key, f"its key does not match the pattern {settings.raw_pattern}"))
            continue
        name = (match["channel"], match["audio_id"])
        if settings.channels and name[0] not in settings.channels:
            continue
        if extension in settings.audio_extensions:
            audio[name].append((settings.audio_extensions.index(extension), item))
        elif extension in transcript_types:
            transcripts[name].append((transcript_types.index(extension), item))
        else:
            listing.strays.append(Stray(item.key, f"{extension or 'no extension'} is neither audio nor transcript"))
    for name in sorted(audio):
        first, *rest = [item for _, item in sorted(audio[name], key=lambda pair: (pair[0], pair[1].key))]
        beside = sorted(transcripts.pop(name, []), key=lambda pair: (pair[0], pair[1].key))
        listing.recordings[name] = ListedRecording(*name, first, beside[0][1] if beside else None, tuple(rest))
    for orphans in transcripts.values():
        listing.strays.extend(Stray(item.key, "a transcript without its recording") for _, item in orphans)
    listing.strays.sort(key=lambda stray: stray.key)
    return listing


def split_extension(key: str) -> tuple[str, str]:
    """A key without its extension, and the extension in lower case.

    >>> split_extension("news/a.b.MP3"), split_extension("news.d/raw")
    (('news/a.b', '.mp3'), ('news.d/raw', ''))
    """
    head, dot, tail = key.rpartition(".")
    return (head, "." + tail.lower()) if dot and "/" not in tail and head else (key, "")


def _compile_pattern(raw_pattern: str) -> re.Pattern[str]:
    expression = re.escape(raw_pattern)
    expression = expression.replace(re.escape("{channel}"), "(?P<channel>[^/]+)")
    return re.compile(expression.replace(re.escape("{audio_id}"), "(?P<audio_id>.+)"), re.DOTALL)


def probe_headers(store: Store, keys: list[str], settings: Settings) -> dict[str, AudioInfo | str]:
    """Read the audio header of each object; an error message for objects whose header cannot be read."""

    def probe_one(key: str) -> AudioInfo | str:
        try:
            with store.open(key) as reader:
                return probe(reader, settings.audio)
        except (UnreadableAudioError, StoreError) as error:
            return str(error)
        finally:
            progress_bar.advance()

    with progress.track("reading headers", len(keys), "recordings") as progress_bar:
        return dict(zip(keys, store.map_keys(probe_one, keys), strict=True))
