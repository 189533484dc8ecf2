"""One adopted recording: its files read, judged and stored. This is what a worker process does."""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from voice_core.codecs import load_codec
from voice_core.corpus.adopt.files import Terms, adopt_file, file_fingerprint
from voice_core.corpus.adopt.listing import FoundRecording, SegmentObject
from voice_core.corpus.names import ADOPT, SEGMENTS
from voice_core.corpus.segment.npz_limits import MAX_FILE_BYTES
from voice_core.fingerprint import fingerprint
from voice_core.layout import PartitionKey, segment_name, stage_prefix
from voice_core.stages.manifest import Entry, Reject
from voice_core.storage.store import Store, StoreError

_GROUP_BYTES = 16 << 20  # of files read at once
_GROUP_FILES = 128


@dataclass(frozen=True, slots=True)
class AdoptTask:
    """What a worker is told: `earlier` are rows whose files are stored already, by fingerprint."""

    source: Store
    work: Store
    partition: PartitionKey
    found: FoundRecording
    terms: Terms
    earlier: Mapping[str, Entry]


@dataclass(frozen=True, slots=True)
class Adopted:
    """`unread` files could not be had just now: they are tried again next time."""

    entries: tuple[Entry, ...]
    read: int
    written: int
    unread: int


def adopt_recording(task: AdoptTask) -> Adopted:
    """Read, judge and store the files of one recording, a few at a time."""
    codec = load_codec(task.terms.codec) if task.terms.codec else None
    entries: list[Entry] = []
    written = unread = 0
    files, doubles = _apart(task.found)
    for group in _groups(files):
        content = dict(zip((f.info.key for f in group), _read(task.source, group), strict=True))
        ready: dict[str, bytes] = {}
        for file in group:
            data = content[file.info.key]
            bare = Entry("line", task.found.audio_id, file.index)
            if data is None:
                message = f"it has {file.info.size:,} bytes, and a segment at most {MAX_FILE_BYTES:,}"
                bare = dataclasses.replace(bare, fingerprint=fingerprint("too large", message))
                entries.append(bare.judged(Reject(ADOPT, "too_large", message=message)))
                continue
            if isinstance(data, StoreError):
                entries.append(bare.judged(Reject(ADOPT, "not_read", message=str(data))))
                unread += 1
                continue
            mark = file_fingerprint(data, bare.audio_id, bare.index, task.terms)
            if mark in task.earlier:
                entries.append(task.earlier[mark])
                continue
            name = segment_name(bare.audio_id, bare.index)
            bare = dataclasses.replace(
                bare, key=f"{stage_prefix(SEGMENTS, task.partition)}{name}.npz", fingerprint=mark
            )
            entry, stored = adopt_file(data, file.info.key, bare, task.terms, codec)
            entries.append(entry)
            if entry.key:
                ready[entry.key] = stored
        task.work.put_many(ready)
        written += len(ready)
    for file in doubles:
        message = f"{file.info.key}: another file is number {file.index} of this recording"
        mark = fingerprint("double", message)
        entry = Entry("line", task.found.audio_id, file.index, fingerprint=mark)
        entries.append(entry.judged(Reject(ADOPT, "duplicate", message=message)))
    return Adopted(tuple(entries), len(files), written, unread)


def _apart(found: FoundRecording) -> tuple[list[SegmentObject], list[SegmentObject]]:
    """The first file of each number, and the others."""
    first: dict[int, SegmentObject] = {}
    doubles = [file for file in found.files if first.setdefault(file.index, file) is not file]
    return list(first.values()), doubles


def _groups(files: Sequence[SegmentObject]) -> Iterator[list[SegmentObject]]:
    group: list[SegmentObject] = []
    size = 0
    for file in files:
        group.append(file)
        size += file.info.size
        if size >= _GROUP_BYTES or len(group) >= _GROUP_FILES:
            yield group
            group, size = [], 0
    if group:
        yield group


def _read(source: Store, group: Sequence[SegmentObject]) -> list[bytes | StoreError | None]:
    """The files' bytes, or why one cannot be read; None for what is too large to be read."""
    infos = {file.info.key: file.info for file in group}

    def one(key: str) -> bytes | StoreError | None:
        try:
            return source.get(key, infos[key]) if infos[key].size <= MAX_FILE_BYTES else None
        except StoreError as error:
            return error

    return source.each(one, [file.info.key for file in group])
