"""The stage "coded": segment files → the same files with codes, and their manifest."""

import dataclasses
import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from voice_core import progress
from voice_core.audio import Pcm16, resample, to_float
from voice_core.codecs.base import Codec, Codes
from voice_core.corpus.batches import read_batch
from voice_core.corpus.freed import read_freed
from voice_core.corpus.manifest import Entry, Manifest, Reject, read_complete, read_manifest
from voice_core.corpus.restoring import Supply, bring_back
from voice_core.corpus.roundtrip import ROUNDTRIP_VERSION, compare
from voice_core.corpus.segment_files import Segment, SegmentFileError, dump, load
from voice_core.corpus.segmenting import STAGE as SEGMENTS
from voice_core.corpus.stage import Checkpoint, commit, intact_keys, known_files
from voice_core.fingerprint import fingerprint, sha256, unit_interval
from voice_core.layout import PartitionKey, manifest_key, stage_prefix
from voice_core.lease import held
from voice_core.settings import Settings
from voice_core.store import AccessDeniedError, Store, StoreError

STAGE = "coded"
CODING_VERSION = 1
CODE_VERSION = f"code{CODING_VERSION}-roundtrip{ROUNDTRIP_VERSION}"
_TRIED_AGAIN = ("segment_missing", "segment_damaged", "not_written")
_BATCH_SEC = 120.0  # audio handed to the codec at once


@dataclass(frozen=True, slots=True)
class CodesReport:
    """What one run of the stage did."""

    manifest: Manifest
    segments_encoded: int
    encoded_sec: float
    wall_sec: float
    known: Mapping[str, int] = field(default_factory=dict, repr=False)  # files that stayed as they were: key → size


def parameters(codec: Codec, settings: Settings) -> dict[str, Any]:
    """What the codes depend on, as the manifest records it."""
    return {
        "codec": codec.name,
        "revision": codec.revision,
        "stand_in": codec.stand_in,
        "input_sample_rate_hz": codec.input_sample_rate_hz,
        "output_sample_rate_hz": codec.output_sample_rate_hz,
        "codes_per_sec": codec.codes_per_sec,
        "codebook_size": codec.codebook_size,
        "roundtrip_share": settings.roundtrip_share,
        "code": CODE_VERSION,
    }


def stage_inputs(segments: Manifest, codec: Codec, settings: Settings) -> str:
    return fingerprint(segments.data_version, parameters(codec, settings))


def is_current(segments: Manifest, coded: Manifest | None, codec: Codec, settings: Settings) -> bool:
    """Whether the committed codes are what a run would make now."""
    return coded is not None and coded.complete and coded.inputs == stage_inputs(segments, codec, settings)


def divide(
    segments: Iterable[Entry], coded: Manifest | None, intact: Collection[str], codec: Codec, settings: Settings
) -> tuple[list[Entry], list[Entry]]:
    """What needs no encoding, as rows of the coded manifest, and the segments that do. Pure.

    `coded` is the manifest that lies there, `intact` the keys of its files that are as it says.
    """
    earlier = {
        (entry.key, entry.fingerprint): entry for entry in (coded.entries if coded else ()) if entry.key in intact
    }
    ready: list[Entry] = []
    todo: list[Entry] = []
    for entry in segments:
        target = _target(entry, codec) if entry.kept else dataclasses.replace(entry, key="", sha256="", size_bytes=0)
        known = earlier.get((target.key, target.fingerprint)) if entry.kept else None
        if known is not None and _due(entry, settings) == (known.roundtrip_mel_db is None):
            known = None  # measured or not by other settings than now
        if known is not None:  # the verdict and the measures are the segments', the codes are the old ones
            ready.append(_with_codes(target, known))
        elif entry.kept:
            todo.append(entry)
        else:
            ready.append(target)
    return ready, todo


def build_codes(
    work: Store,
    partition: PartitionKey,
    codec: Codec,
    settings: Settings,
    *,
    verify: bool = False,
    supply: Supply | None = None,
) -> CodesReport:
    """Encode the kept segments that have no codes yet, or other ones, and commit the manifest.

    With `verify`, files that no longer have their committed hash are made again too. Segment files that were freed and
    are needed come from `supply`. Waits while another process works on the partition.
    """
    with held(work, str(partition)):
        return _build_codes(work, partition, codec, settings, verify, supply)


def _build_codes(
    work: Store, partition: PartitionKey, codec: Codec, settings: Settings, verify: bool, supply: Supply | None
) -> CodesReport:
    started = time.monotonic()
    segments = read_complete(work, SEGMENTS, partition)
    old = read_manifest(work, STAGE, partition)
    wanted = parameters(codec, settings)
    draft = dataclasses.replace(
        segments,
        stage=STAGE,
        inputs=stage_inputs(segments, codec, settings),
        parameters={**segments.parameters, **wanted},
    )
    there = {item.key for item in work.listing(stage_prefix(STAGE, partition))}
    there |= read_freed(work, STAGE, partition).keys()
    ready, todo = divide(segments.entries, old, intact_keys(work, old, verify=verify), codec, settings)
    bring_back(work, supply, SEGMENTS, partition, settings, [entry.key for entry in todo])

    checkpoint = Checkpoint(work, dataclasses.replace(draft, entries=tuple(ready)))
    touched = (
        bool(todo)
        or old is None
        or {entry.key for entry in ready if entry.key} != there - {manifest_key(STAGE, partition)}
    )
    if touched:
        checkpoint.begin()
    total_sec = sum(entry.duration_sec or 0.0 for entry in todo)
    with_codes = _with_adopted_codes(work, partition, codec)
    encoded: list[Entry] = []
    with (
        codec.ready(f"encoding {partition}") if todo else nullcontext(),
        progress.track(f"encoding {partition}", total_sec / 60, "minutes") as bar,
    ):
        for group in _groups(todo):
            rows, made = _encode_group(work, group, codec, settings, with_codes)
            encoded += made
            ready.extend(rows)
            checkpoint.add(rows)
            bar.advance(sum(entry.duration_sec or 0.0 for entry in group) / 60)
    again = any(entry.reason in _TRIED_AGAIN for entry in ready)
    draft = dataclasses.replace(draft, inputs="" if again else draft.inputs, entries=tuple(ready))
    manifest = commit(work, draft, sweep=touched)
    encoded_sec = sum(entry.duration_sec or 0.0 for entry in encoded)
    unread = known_files(old, manifest, verify=verify)
    return CodesReport(manifest, len(encoded), encoded_sec, time.monotonic() - started, unread)


def _due(entry: Entry, settings: Settings) -> bool:
    """Whether a segment is among those that are decoded again and measured."""
    return unit_interval("roundtrip", entry.sha256) < settings.roundtrip_share


def _target(entry: Entry, codec: Codec) -> Entry:
    """The row of a segment's coded file, before there is one."""
    return dataclasses.replace(
        entry,
        key=STAGE + entry.key.removeprefix(SEGMENTS),
        fingerprint=fingerprint(CODING_VERSION, entry.sha256, codec.name, codec.revision),
        sha256="",
        size_bytes=0,
    )


def _with_codes(target: Entry, coded: Entry) -> Entry:
    return dataclasses.replace(
        target,
        sha256=coded.sha256,
        size_bytes=coded.size_bytes,
        code_count=coded.code_count,
        distinct_codes=coded.distinct_codes,
        roundtrip_mel_db=coded.roundtrip_mel_db,
        roundtrip_level_db=coded.roundtrip_level_db,
    )


def _groups(entries: Sequence[Entry]) -> Iterator[list[Entry]]:
    """Runs of entries that hold about as much audio as a codec is handed at once."""
    group: list[Entry] = []
    seconds = 0.0
    for entry in entries:
        group.append(entry)
        seconds += entry.duration_sec or 0.0
        if seconds >= _BATCH_SEC:
            yield group
            group, seconds = [], 0.0
    if group:
        yield group


def _with_adopted_codes(work: Store, partition: PartitionKey, codec: Codec) -> set[str]:
    """The recordings whose segment files already hold what this very codec made of them."""
    adopted = {item.audio_id: item.adopted for item in read_batch(work, partition).recordings if item.adopted}
    made_by = (codec.name, codec.revision)
    return {audio_id for audio_id, origin in adopted.items() if (origin.codec, origin.revision) == made_by}


def _encode_group(
    work: Store, entries: Sequence[Entry], codec: Codec, settings: Settings, with_codes: Collection[str]
) -> tuple[list[Entry], list[Entry]]:
    """The rows of the coded files, and those of the segments that were encoded for them."""
    rows: list[Entry] = []
    loaded: list[tuple[Entry, Segment]] = []
    read = work.each(lambda key: _read(work, key), [entry.key for entry in entries])
    for entry, data in zip(entries, read, strict=True):
        segment = _checked(entry, data)
        if isinstance(segment, Reject):
            rows.append(dataclasses.replace(_target(entry, codec), key="").judged(segment))
        else:
            loaded.append((entry, segment))
    files: dict[str, bytes] = {}
    plain = [item for item in loaded if not (item[0].audio_id in with_codes and len(item[1].codes))]
    made = _encode(codec, [segment.audio for _, segment in plain], settings.cut.sample_rate_hz)
    coded = {id(segment): codes for (_, segment), codes in zip(plain, made, strict=True)}
    for entry, segment in loaded:
        codes = coded.get(id(segment), segment.codes)
        target = _target(entry, codec)
        if isinstance(codes, Reject):
            rows.append(dataclasses.replace(target, key="").judged(codes))
            continue
        data = dump(dataclasses.replace(segment, codes=codes))
        files[target.key] = data
        target = dataclasses.replace(
            target,
            sha256=sha256(data),
            size_bytes=len(data),
            code_count=len(codes),
            distinct_codes=len(np.unique(codes)),
        )
        if _due(entry, settings):
            mel_db, level_db = compare(segment.audio, settings.cut.sample_rate_hz, codec, codes)
            target = dataclasses.replace(target, roundtrip_mel_db=mel_db, roundtrip_level_db=level_db)
        rows.append(target)
    denied = _write(work, files)
    rows = [
        dataclasses.replace(entry, key="").judged(denied[entry.key]) if entry.key in denied else entry for entry in rows
    ]
    return rows, [entry for entry, _ in plain]


def _write(work: Store, files: Mapping[str, bytes]) -> dict[str, Reject]:
    """Put files; those to which access is denied come back with what the store says."""

    def one(key: str) -> Reject | None:
        try:
            work.put(key, files[key])
        except AccessDeniedError as error:
            return Reject(STAGE, "not_written", message=str(error))
        return None

    answers = zip(files, work.each(one, files), strict=True)
    return {key: reject for key, reject in answers if reject is not None}


def _read(work: Store, key: str) -> bytes | StoreError:
    try:
        return work.get(key)
    except StoreError as error:
        return error


def _checked(entry: Entry, data: bytes | StoreError) -> Segment | Reject:
    """The segment, if its file is there and is the one that was committed."""
    if isinstance(data, StoreError):
        return Reject(STAGE, "segment_missing", message=str(data))
    if sha256(data) != entry.sha256:
        return Reject(STAGE, "segment_damaged", message=f"{entry.key} is not the file that was committed")
    try:
        return load(data, entry.key)
    except SegmentFileError as error:
        return Reject(STAGE, "segment_damaged", message=str(error))


def _encode(codec: Codec, audios: Sequence[Pcm16], sample_rate_hz: int) -> list[Codes | Reject]:
    """Encode a group; where that fails, one by one, so that a bad clip costs only itself."""
    clips = [resample(to_float(audio), sample_rate_hz, codec.input_sample_rate_hz) for audio in audios]
    try:
        return [*codec.encode(clips)]
    except ValueError:
        results: list[Codes | Reject] = []
        for clip in clips:
            try:
                results.extend(codec.encode([clip]))
            except ValueError as error:
                results.append(Reject(STAGE, "encode_failed", message=str(error)))
        return results
