"""Encode segment files: read, encode and write concurrently, in bounded memory."""

import dataclasses
import math
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from voice_core.audio.pcm import to_float
from voice_core.codecs.base import Audio, Codec, Codes, OutOfMemoryError
from voice_core.compute.concurrency import map_pipelined
from voice_core.corpus.encode.code_checks import compare_round_trip
from voice_core.corpus.manifest import Entry
from voice_core.corpus.names import CODED, SEGMENTS
from voice_core.corpus.segment.segment_files import Segment, SegmentFileError, dump_segment, load_segment
from voice_core.fingerprint import fingerprint, hash_to_unit_interval, sha256
from voice_core.settings import Settings
from voice_core.stages.verdicts import Reject
from voice_core.storage.store import AccessDeniedError, Store, StoreError

OUT_OF_MEMORY = "out_of_memory"
CODING_VERSION = 1


class CodesDifferError(RuntimeError):
    """The codes of a codec differ from those of its reference path by more than rounding explains."""


@dataclass(frozen=True, slots=True)
class EncodedGroup:
    """The result for a group of segments: rows of the coded manifest, and the segments that were encoded."""

    rows: list[Entry]
    encoded: list[Entry]
    duration_sec: float


@dataclass(frozen=True, slots=True)
class _SegmentGroup:
    """Segments that are read together. `rows` are the rows of those that could not be read."""

    segments: list[tuple[Entry, Segment]]
    rows: list[Entry]
    duration_sec: float


@dataclass(frozen=True, slots=True)
class _EncodedSegment:
    """A segment's codes; the decoded audio if it is measured; the share of codes equal to the reference path."""

    entry: Entry
    segment: Segment
    codes: Codes | Reject
    fresh: bool
    decoded: Audio | None = None
    agreement: float | None = None


def _is_round_trip_sample(segment: Entry, settings: Settings) -> bool:
    """Whether the round trip of a segment is measured. A hash decides, so every run measures the same segments."""
    return hash_to_unit_interval("roundtrip", segment.sha256) < settings.roundtrip_share


RowOrder = tuple[str, int, int]
"""An entry's `order`: the same for a segment and its coded file."""


def select_guard_segments(
    segments: Iterable[Entry], codec: Codec, settings: Settings, before: Iterable[Entry]
) -> set[RowOrder]:
    """The kept segments of a partition that the codec's reference path encodes too. Pure.

    Hashes select them. If they select none and any code may differ (half precision), one segment is selected, so that
    the agreement of every partition is measured: one that was measured among `before` (the rows whose codes are
    reused), or one of the segments to encode.
    """
    kept = [entry for entry in segments if entry.kept]
    if not settings.guard_share:
        return set()
    chosen = {entry.order for entry in kept if hash_to_unit_interval("guard", entry.sha256) < settings.guard_share}
    if chosen or not math.isinf(codec.max_margin):
        return chosen
    stay = {entry.order: entry.agreement is not None for entry in before}
    among = [row for row, seen in stay.items() if seen] or [entry.order for entry in kept if entry.order not in stay]
    return {min(among, key=lambda row: hash_to_unit_interval("guard", *row))} if among else set()


def has_due_measures(coded: Entry, segment: Entry, settings: Settings, guards: Collection[RowOrder]) -> bool:
    """Whether exactly the measures are present that these settings require. Pure."""
    due = _is_round_trip_sample(segment, settings) and coded.code_count > 0, segment.order in guards
    return due == (coded.roundtrip_mel_db is not None, coded.agreement is not None)


def coded_entry(entry: Entry, codec: Codec) -> Entry:
    """The row of a segment's coded file before it is written."""
    return dataclasses.replace(
        entry,
        key=CODED + entry.key.removeprefix(SEGMENTS),
        fingerprint=fingerprint(CODING_VERSION, entry.sha256, codec.name, codec.revision),
        sha256="",
        size_bytes=0,
    )


def encode_segments(
    work: Store,
    entries: Sequence[Entry],
    codec: Codec,
    settings: Settings,
    with_codes: Collection[str],
    guards: Collection[RowOrder],
) -> Iterator[EncodedGroup]:
    """Encode the files of these rows in the codec's preferred order; yields each group after its files are written.

    `with_codes` are the recordings whose files contain the codec's codes already. `guards` are the segments that its
    reference path encodes too. Raises `CodesDifferError`.
    """
    rate = settings.cut.sample_rate_hz

    def write(made: tuple[_SegmentGroup, list[_EncodedSegment]]) -> EncodedGroup:
        load, encoded = made
        rows = _write_coded(work, encoded, codec, rate)
        return EncodedGroup([*load.rows, *rows], [item.entry for item in encoded if item.fresh], load.duration_sec)

    return map_pipelined(
        _group_entries(entries, codec, rate),
        prepare=lambda some: _read_group(work, some, codec),
        process=lambda load: (load, _encode_group(load, codec, settings, with_codes, guards)),
        finish=write,
    )


def _group_entries(entries: Sequence[Entry], codec: Codec, sample_rate_hz: int) -> Iterator[list[Entry]]:
    """Split entries into groups of about `codec.batch_sec` of audio, clips with equal `codec.group_key` together."""

    def group(entry: Entry) -> int:
        return codec.group_key(round((entry.duration_sec or 0.0) * sample_rate_hz), sample_rate_hz)

    load: list[Entry] = []
    seconds = 0.0
    for entry in sorted(entries, key=group):
        load.append(entry)
        seconds += entry.duration_sec or 0.0
        if seconds >= codec.batch_sec:
            yield load
            load, seconds = [], 0.0
    if load:
        yield load


def _read_group(work: Store, entries: Sequence[Entry], codec: Codec) -> _SegmentGroup:
    rows: list[Entry] = []
    segments: list[tuple[Entry, Segment]] = []
    read = work.map_keys(lambda key: _read_or_error(work, key), [entry.key for entry in entries])
    for entry, data in zip(entries, read, strict=True):
        segment = _parse_committed(entry, data)
        if isinstance(segment, Reject):
            rows.append(dataclasses.replace(coded_entry(entry, codec), key="").with_verdict(segment))
        else:
            segments.append((entry, segment))
    return _SegmentGroup(segments, rows, sum(entry.duration_sec or 0.0 for entry in entries))


def _read_or_error(work: Store, key: str) -> bytes | StoreError:
    try:
        return work.get(key)
    except StoreError as error:
        return error


def _parse_committed(entry: Entry, data: bytes | StoreError) -> Segment | Reject:
    """The segment, if its file exists and has its committed hash."""
    if isinstance(data, StoreError):
        return Reject(CODED, "segment_missing", message=str(data))
    if sha256(data) != entry.sha256:
        return Reject(CODED, "segment_damaged", message=f"{entry.key} does not have its committed hash")
    try:
        return load_segment(data, entry.key)
    except SegmentFileError as error:
        return Reject(CODED, "segment_damaged", message=str(error))


def _encode_group(
    load: _SegmentGroup, codec: Codec, settings: Settings, with_codes: Collection[str], guards: Collection[RowOrder]
) -> list[_EncodedSegment]:
    """Encode a group, decode the round trip samples, and compare the guards with the reference path."""
    rate = settings.cut.sample_rate_hz
    plain = [(e, s) for e, s in load.segments if not (e.audio_id in with_codes and len(s.codes))]
    clips = {entry.key: to_float(segment.audio) for entry, segment in plain}
    made = dict(zip(clips, _encode_clips(codec, [*clips.values()], rate), strict=True))
    codes = {entry.key: made.get(entry.key, segment.codes) for entry, segment in load.segments}
    due = [
        (entry.key, found)
        for entry, _ in load.segments
        if not isinstance(found := codes[entry.key], Reject) and len(found) and _is_round_trip_sample(entry, settings)
    ]
    decoded = dict(zip((key for key, _ in due), codec.decode([found for _, found in due]), strict=True))
    agreements = {
        entry.key: _agreement(codec, to_float(segment.audio), rate, found, entry.key)
        for entry, segment in load.segments
        if entry.order in guards and not isinstance(found := codes[entry.key], Reject)
    }
    return [
        _EncodedSegment(
            entry, segment, codes[entry.key], entry.key in made, decoded.get(entry.key), agreements.get(entry.key)
        )
        for entry, segment in load.segments
    ]


def _encode_clips(codec: Codec, clips: Sequence[Audio], sample_rate_hz: int) -> list[Codes | Reject]:
    """Encode a group of clips; if that fails, one by one, so that only the bad clip is rejected."""
    try:
        return [*codec.encode(clips, sample_rate_hz)]
    except (ValueError, OutOfMemoryError):
        results: list[Codes | Reject] = []
        for clip in clips:
            try:
                results.extend(codec.encode([clip], sample_rate_hz))
            except ValueError as error:
                results.append(Reject(CODED, "encode_failed", message=str(error)))
            except OutOfMemoryError as error:
                results.append(Reject(CODED, OUT_OF_MEMORY, message=str(error)))
        return results


def _agreement(codec: Codec, clip: Audio, sample_rate_hz: int, codes: Codes, key: str) -> float:
    """The share of codes that equal those of the codec's reference path. Raises `CodesDifferError`."""
    alone, margins = codec.encode_reference(clip, sample_rate_hz)
    if len(alone) != len(codes):
        raise CodesDifferError(f"{key}: {codec.name} returned {len(codes)} codes, its reference path {len(alone)}")
    differ = np.flatnonzero(alone != codes)
    beyond = [at for at in differ.tolist() if margins[at] > codec.max_margin]
    if beyond:
        raise CodesDifferError(
            f"{key}: {len(differ)} of {len(codes)} codes differ from the reference path of {codec.name} "
            f"{codec.revision}, and rounding does not explain {len(beyond)} of them (frame {beyond[0]} is "
            f"{margins[beyond[0]]:.2g} from a boundary; the limit is {codec.max_margin:.2g}). This batch was not "
            "committed. Please report this error; set VOICE_GUARD_SHARE=1 to compare every segment"
        )
    share = 1.0 if not len(codes) else 1.0 - len(differ) / len(codes)
    if len(codes) >= codec.codes_per_sec and share < codec.min_agreement:
        raise CodesDifferError(
            f"{key}: {share:.1%} of {len(codes)} codes equal those of the reference path of {codec.name} "
            f"{codec.revision}; the minimum is {codec.min_agreement:.0%}. This batch was not committed. Try another "
            "precision for these weights; set VOICE_GUARD_SHARE=1 to compare every segment"
        )
    return share


def _write_coded(work: Store, encoded: Sequence[_EncodedSegment], codec: Codec, sample_rate_hz: int) -> list[Entry]:
    rows: list[Entry] = []
    files: dict[str, bytes] = {}
    for item in encoded:
        target = coded_entry(item.entry, codec)
        if isinstance(item.codes, Reject):
            rows.append(dataclasses.replace(target, key="").with_verdict(item.codes))
            continue
        data = dump_segment(dataclasses.replace(item.segment, codes=item.codes))
        files[target.key] = data
        mel_db = level_db = None
        if item.decoded is not None:
            mel_db, level_db = compare_round_trip(
                item.segment.audio, sample_rate_hz, item.decoded, codec.output_sample_rate_hz
            )
        rows.append(
            dataclasses.replace(
                target,
                sha256=sha256(data),
                size_bytes=len(data),
                code_count=len(item.codes),
                distinct_codes=len(np.unique(item.codes)),
                roundtrip_mel_db=mel_db,
                roundtrip_level_db=level_db,
                agreement=item.agreement,
            )
        )
    denied = _put_files(work, files)
    return [
        dataclasses.replace(entry, key="").with_verdict(denied[entry.key]) if entry.key in denied else entry
        for entry in rows
    ]


def _put_files(work: Store, files: Mapping[str, bytes]) -> dict[str, Reject]:
    """Write files. Returns a reject with the store's message for each file to which access is denied."""

    def put_one(key: str) -> Reject | None:
        try:
            work.put(key, files[key], durable=False)
        except AccessDeniedError as error:
            return Reject(CODED, "not_written", message=str(error))
        return None

    answers = zip(files, work.map_keys(put_one, files), strict=True)
    return {key: reject for key, reject in answers if reject is not None}
