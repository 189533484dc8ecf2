"""Adopt one recording in a worker process: read, validate and store its files."""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from voice_core.codecs import load_codec
from voice_core.corpus.adopt.files import AdoptParameters, adopt_file, file_fingerprint
from voice_core.corpus.adopt.listing import SegmentObject, SourceRecording
from voice_core.corpus.manifest import Entry
from voice_core.corpus.names import ADOPT, SEGMENTS
from voice_core.corpus.segment.npz_limits import MAX_FILE_BYTES
from voice_core.fingerprint import fingerprint
from voice_core.layout import PartitionKey, segment_name, stage_prefix
from voice_core.stages.verdicts import Reject
from voice_core.storage.store import Store, StoreError

_GROUP_BYTES = 16 << 20  # of files read at once
_GROUP_FILES = 128


@dataclass(frozen=True, slots=True)
class AdoptTask:
    """The input of a worker; `earlier` has the rows of files that are already stored, by fingerprint."""

    source: Store
    work: Store
    partition: PartitionKey
    found: SourceRecording
    terms: AdoptParameters
    earlier: Mapping[str, Entry]


@dataclass(frozen=True, slots=True)
class AdoptedRecording:
    """The result of a worker; the next run tries the `failed_reads` files again."""

    entries: tuple[Entry, ...]
    read: int
    written: int
    failed_reads: int


def adopt_recording(task: AdoptTask) -> AdoptedRecording:
    """Read, validate and store the files of one recording, a few at a time."""
    codec = load_codec(task.terms.codec) if task.terms.codec else None
    entries: list[Entry] = []
    written = failed_reads = 0
    files, duplicates = _split_duplicates(task.found)
    for group in _group_by_size(files):
        content = dict(zip((f.info.key for f in group), _read(task.source, group), strict=True))
        ready: dict[str, bytes] = {}
        for file in group:
            data = content[file.info.key]
            row = Entry("line", task.found.audio_id, file.index)
            if data is None:
                message = f"it has {file.info.size:,} bytes; the limit is {MAX_FILE_BYTES:,}"
                row = dataclasses.replace(row, fingerprint=fingerprint("too large", message))
                entries.append(row.with_verdict(Reject(ADOPT, "too_large", message=message)))
                continue
            if isinstance(data, StoreError):
                entries.append(row.with_verdict(Reject(ADOPT, "not_read", message=str(data))))
                failed_reads += 1
                continue
            row_fingerprint = file_fingerprint(data, row.audio_id, row.index, task.terms)
            if row_fingerprint in task.earlier:
                entries.append(task.earlier[row_fingerprint])
                continue
            name = segment_name(row.audio_id, row.index)
            row = dataclasses.replace(
                row, key=f"{stage_prefix(SEGMENTS, task.partition)}{name}.npz", fingerprint=row_fingerprint
            )
            entry, stored = adopt_file(data, file.info.key, row, task.terms, codec)
            entries.append(entry)
            if entry.key:
                ready[entry.key] = stored
        task.work.put_many(ready)
        written += len(ready)
    for file in duplicates:
        message = f"{file.info.key}: another file has the number {file.index} of this recording"
        row_fingerprint = fingerprint("double", message)
        entry = Entry("line", task.found.audio_id, file.index, fingerprint=row_fingerprint)
        entries.append(entry.with_verdict(Reject(ADOPT, "duplicate", message=message)))
    return AdoptedRecording(tuple(entries), len(files), written, failed_reads)


def _split_duplicates(found: SourceRecording) -> tuple[list[SegmentObject], list[SegmentObject]]:
    """The first file of each number, and the others."""
    first: dict[int, SegmentObject] = {}
    duplicates = [file for file in found.files if first.setdefault(file.index, file) is not file]
    return list(first.values()), duplicates


def _group_by_size(files: Sequence[SegmentObject]) -> Iterator[list[SegmentObject]]:
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
    """The content of each file, or its error; None for files above the size limit."""
    infos = {file.info.key: file.info for file in group}

    def read_file(key: str) -> bytes | StoreError | None:
        try:
            return source.get(key, infos[key]) if infos[key].size <= MAX_FILE_BYTES else None
        except StoreError as error:
            return error

    return source.map_keys(read_file, [file.info.key for file in group])
