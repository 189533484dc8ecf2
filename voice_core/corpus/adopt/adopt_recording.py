"""Adopt one recording in a worker process: read, validate and store the segment files of another program.

A file is stored unchanged, unless its content can be written in this project's form (uncompressed, int16) without
loss, or the int16 form is requested. Its audio is measured; nothing else is computed.
"""

import dataclasses
import io
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from voice_core.audio.pcm import to_float
from voice_core.codecs import load_codec
from voice_core.codecs.base import Codec
from voice_core.corpus.adopt.listing import SegmentObject, SourceRecording
from voice_core.corpus.encode.code_checks import find_code_problems
from voice_core.corpus.labels import ADDED_LABELS, LABEL_NAMES, label_values
from voice_core.corpus.manifest import Entry
from voice_core.corpus.names import ADOPT, SEGMENTS
from voice_core.corpus.segment.measures import MEASURES_VERSION, measure
from voice_core.corpus.segment.npz_limits import MAX_FILE_BYTES
from voice_core.corpus.segment.segment_files import Segment, SegmentFileError, dump_segment, load_segment
from voice_core.fingerprint import fingerprint, sha256
from voice_core.layout import PartitionKey, segment_name, slug, stage_prefix
from voice_core.stages.verdicts import Reject
from voice_core.storage.store import Store, StoreError

ADOPT_VERSION = 1
RewriteMode = Literal["lossless", "int16"]
"""`lossless` rewrites files that lose nothing by it and keeps the others; `int16` rewrites all."""

_GROUP_BYTES = 16 << 20  # of files read at once
_GROUP_FILES = 128
_FORBIDDEN_CHARACTERS = re.compile("[\x00\ud800-\udfff]")
_DURATION_TOLERANCE_SEC, _DURATION_TOLERANCE = 0.02, 0.04  # times that were rounded, ends that were clipped
_RATE_TOLERANCE = 0.01
_RATES_HZ = (8_000, 11_025, 12_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000)


@dataclass(frozen=True, slots=True)
class AdoptParameters:
    """How files are adopted. `codec` and `revision` say what made their codes; codes without a recorded codec are kept
    in the files and not used."""

    sample_rate_hz: int
    form: RewriteMode = "lossless"
    codec: str = ""
    revision: str = ""

    @property
    def fingerprint(self) -> str:
        return fingerprint(ADOPT_VERSION, MEASURES_VERSION, dataclasses.astuple(self), *ADDED_LABELS)


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
            row_fingerprint = _file_fingerprint(data, row.audio_id, row.index, task.terms)
            if row_fingerprint in task.earlier:
                entries.append(task.earlier[row_fingerprint])
                continue
            name = segment_name(row.audio_id, row.index)
            row = dataclasses.replace(
                row, key=f"{stage_prefix(SEGMENTS, task.partition)}{name}.npz", fingerprint=row_fingerprint
            )
            entry, stored = _adopt_file(data, file.info.key, row, task.terms, codec)
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


def _file_fingerprint(data: bytes, audio_id: str, index: int, terms: AdoptParameters) -> str:
    """Fingerprint of everything that the file's row and bytes depend on."""
    return fingerprint("adopted", terms.fingerprint, audio_id, index, sha256(data))


def _adopt_file(
    data: bytes, name: str, entry: Entry, terms: AdoptParameters, codec: Codec | None
) -> tuple[Entry, bytes]:
    """The row of a file and the bytes to store; a rejected row has no key. Pure.

    `entry` has the audio_id, the index, the key and the fingerprint. `codec` is the codec of `terms`.
    """
    try:
        segment = load_segment(data, name)
    except SegmentFileError as error:
        return _without_file(entry, Reject(ADOPT, "unreadable", message=str(error))), b""
    entry = dataclasses.replace(entry, sample_count=len(segment.audio))
    problem = _label_problem(segment, entry.audio_id)
    if problem is None:
        entry = dataclasses.replace(entry, text=segment.text, **label_values(segment))
        problem = _text_problem(segment) or _audio_problem(segment, terms) or _codes_problem(segment, terms, codec)
    if problem is not None:
        return _without_file(entry, problem), b""
    if terms.form == "int16" or _is_lossless(data, segment):
        data = dump_segment(segment)
    measures = measure(segment.audio, terms.sample_rate_hz, segment.text)
    return (
        dataclasses.replace(
            entry,
            sha256=sha256(data),
            size_bytes=len(data),
            duration_sec=round(len(segment.audio) / terms.sample_rate_hz, 3),
            **dataclasses.asdict(measures),
        ),
        data,
    )


def _without_file(entry: Entry, reject: Reject) -> Entry:
    return dataclasses.replace(entry, key="").with_verdict(reject)


def _label_problem(segment: Segment, audio_id: str) -> Reject | None:
    for label in ("text", "audio_id", *LABEL_NAMES):
        if match := _FORBIDDEN_CHARACTERS.search(getattr(segment, label)):
            what = "a NUL" if match[0] == "\x00" else "a lone surrogate"
            message = f"its {label} contains {what} at character {match.start()}, which cannot be stored"
            return Reject(ADOPT, "bad_text" if label == "text" else "bad_metadata", message=message)
    if segment.audio_id not in ("", audio_id) and slug(segment.audio_id) != slug(audio_id):
        message = f"its file name has the audio_id {audio_id}, its content {segment.audio_id}"
        return Reject(ADOPT, "other_audio_id", message=message)
    return None


def _text_problem(segment: Segment) -> Reject | None:
    return None if segment.text.strip() else Reject(ADOPT, "empty_text")


def _audio_problem(segment: Segment, terms: AdoptParameters) -> Reject | None:
    """The file states no sample rate; its duration_sec implies one."""
    count, claimed_sec = len(segment.audio), segment.duration_sec
    if not count:
        return Reject(ADOPT, "no_audio")
    if not (math.isfinite(claimed_sec) and claimed_sec > 0):
        return Reject(ADOPT, "bad_duration", message=f"its duration_sec is {claimed_sec}")
    found_sec = count / terms.sample_rate_hz
    if abs(found_sec - claimed_sec) <= max(_DURATION_TOLERANCE_SEC, _DURATION_TOLERANCE * claimed_sec):
        return None
    implied_hz = count / claimed_sec
    nearest = min(_RATES_HZ, key=lambda rate: abs(rate - implied_hz))
    if nearest != terms.sample_rate_hz and abs(nearest - implied_hz) <= _RATE_TOLERANCE * nearest:
        message = f"{count} samples in {claimed_sec:g} s are {nearest} Hz; resample it, or set cut.sample_rate_hz"
        return Reject(ADOPT, "other_sample_rate", round(implied_hz, 1), float(terms.sample_rate_hz), message)
    message = f"its duration_sec is {claimed_sec:g}, its audio has {found_sec:.3f} s at {terms.sample_rate_hz} Hz"
    return Reject(ADOPT, "duration_differs", round(found_sec, 3), round(claimed_sec, 3), message)


def _codes_problem(segment: Segment, terms: AdoptParameters, codec: Codec | None) -> Reject | None:
    """Codes must be plausible for the codec that they are said to be of; a file without codes is encoded later."""
    count = len(segment.codes)
    if codec is None or not count:
        return None
    problems = find_code_problems(segment.codes, len(segment.audio), terms.sample_rate_hz, codec)
    if not problems:
        return None
    expected = codec.code_count(len(segment.audio), terms.sample_rate_hz)
    message = f"it has {problems[0]}; adopt it without --codec to encode it again"
    return Reject(ADOPT, "codes_do_not_fit", float(count), float(expected), message)


def _is_lossless(data: bytes, segment: Segment) -> bool:
    """Whether this project's form holds the whole content of the file exactly."""
    with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
        audio, codes = arrays["audio"], arrays["codes"]
        texts = all(
            arrays[name].dtype.kind == "U" and arrays[name].ndim == 0
            for name in (*LABEL_NAMES, "text", "audio_id")
            if name in arrays.files
        )
    same_audio = audio.dtype == np.int16 or (
        audio.dtype == np.float32 and np.array_equal(audio, to_float(segment.audio))
    )
    return texts and same_audio and bool(codes.size == 0 or np.array_equal(codes.reshape(-1), segment.codes))
