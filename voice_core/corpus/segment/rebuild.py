"""Freed files, made again to the byte from what is nearest: a later stage's file, the dataset's row, the recording."""

import dataclasses
import io
import itertools
import logging
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from operator import attrgetter
from typing import IO

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import soundfile

from voice_core.audio.pcm import to_float
from voice_core.codecs.base import Codec, Codes
from voice_core.compute import progress, workers
from voice_core.corpus.ingest.batches import read_batch
from voice_core.corpus.names import CODED, FULL, SEGMENTS, SPLITS
from voice_core.corpus.segment.recording import CutTask, cut_recording
from voice_core.corpus.segment.segment_files import Segment, SegmentFileError, dump_segment, load_segment
from voice_core.corpus.segment.segment_stage import parameters
from voice_core.fingerprint import sha256
from voice_core.layout import DatasetLayout, PartitionKey, stage_prefix
from voice_core.settings import Settings
from voice_core.stages.evicted import read_evicted, unmark_evicted
from voice_core.stages.labels import ADDED_LABELS, REQUIRED_LABELS
from voice_core.stages.manifest import Manifest, read_complete_manifest, read_manifest, write_manifest
from voice_core.storage.scratch import open_scratch
from voice_core.storage.store import ObjectNotFoundError, Store, StoreError

_CHUNK_FILES = 64  # files in memory at a time
_log = logging.getLogger(__name__)

ExpectedHashes = Mapping[str, str]  # SHA-256 by key


@dataclass(frozen=True, slots=True)
class RebuildSources:
    """What freed files can be made again from, opened when it is needed."""

    raw: Callable[[], Store]
    codec: Callable[[], Codec | None]


@dataclass(frozen=True, slots=True)
class _RebuildContext:
    work: Store
    partition: PartitionKey
    settings: Settings


def rebuild_evicted(
    work: Store,
    rebuild_sources: RebuildSources | None,
    stage: str,
    partition: PartitionKey,
    settings: Settings,
    keys: Iterable[str],
) -> int:
    """Make those of a stage's files again that are among `keys` and freed; returns how many there were.

    Each file gets the very bytes that were committed. One that cannot be had so counts as freed no longer, but as
    missing, and its stage as not current, so that the next build makes it anew; unless the recording could not be read
    just now. Raises `LookupError` without a supply.
    """
    evicted = read_evicted(work, stage, partition)
    wanted = {key: evicted[key] for key in keys if key in evicted}
    if not wanted:
        return 0
    if rebuild_sources is None:
        raise LookupError(
            f"{partition}: {len(wanted)} files of {stage} were freed, such as {next(iter(wanted))}, and are needed "
            "again: `voice build` makes them"
        )
    context = _RebuildContext(work, partition, settings)
    with progress.track(f"making freed {stage} of {partition} again", len(wanted), "files") as bar:
        unread = (
            _rebuild_segments(context, rebuild_sources, wanted, bar)
            if stage == SEGMENTS
            else _rebuild_coded(context, rebuild_sources, wanted, bar)
        )
    there = {item.key for item in work.listing(stage_prefix(stage, partition))}
    if lost := wanted.keys() - unread - there:
        _log.warning(
            "%s: %d files of %s, such as %s, could not be made again as they were: the next build makes them anew",
            partition, len(lost), stage, min(lost),
        )  # fmt: skip
        _mark_stale(work, stage, partition)
    unmark_evicted(work, stage, partition, wanted.keys() - unread)
    return len(wanted)


def _mark_stale(work: Store, stage: str, partition: PartitionKey) -> None:
    manifest = read_manifest(work, stage, partition)
    if manifest is not None and manifest.complete and manifest.inputs:
        write_manifest(work, dataclasses.replace(manifest, inputs=""))


def _rebuild_segments(
    context: _RebuildContext, rebuild_sources: RebuildSources, wanted: ExpectedHashes, bar: progress.ProgressTask
) -> set[str]:
    """Make segment files; returns those whose recording could not be read."""
    remaining = _write_matching(context, wanted, _strip_codes(context, wanted), bar)
    remaining = _write_matching(context, remaining, _read_from_rows(context, remaining, with_codes=False), bar)
    return _cut_again(context, rebuild_sources, remaining, bar) if remaining else set()


def _rebuild_coded(
    context: _RebuildContext, rebuild_sources: RebuildSources, wanted: ExpectedHashes, bar: progress.ProgressTask
) -> set[str]:
    remaining = _write_matching(context, wanted, _read_from_rows(context, wanted, with_codes=True), bar)
    codec = rebuild_sources.codec() if remaining else None
    if codec is None:
        return set()
    sources = {SEGMENTS + key.removeprefix(CODED): key for key in remaining}
    rebuild_evicted(context.work, rebuild_sources, SEGMENTS, context.partition, context.settings, sources)
    with codec.ready(f"encoding freed files of {context.partition} again"):
        _write_matching(context, remaining, _encode_again(context, codec, sources), bar)
    still_away = read_evicted(context.work, SEGMENTS, context.partition)
    return {key for source, key in sources.items() if source in still_away}


def _write_matching(
    context: _RebuildContext, wanted: ExpectedHashes, made: Iterable[tuple[str, bytes]], bar: progress.ProgressTask
) -> dict[str, str]:
    """Write what was made and is what was committed; returns what is still wanted."""
    remaining = dict(wanted)
    good = ((key, data) for key, data in made if remaining.get(key) == sha256(data))
    while group := dict(itertools.islice(good, _CHUNK_FILES)):
        context.work.put_many(group)
        for key in group:
            del remaining[key]
        bar.advance(len(group))
    return remaining


def _strip_codes(context: _RebuildContext, wanted: ExpectedHashes) -> Iterator[tuple[str, bytes]]:
    """A coded file without its codes is the segment file."""
    there = {item.key for item in context.work.listing(stage_prefix(CODED, context.partition))}
    sources = {key: CODED + key.removeprefix(SEGMENTS) for key in wanted}
    for key, segment in _load_segments(context, {key: source for key, source in sources.items() if source in there}):
        yield key, dump_segment(dataclasses.replace(segment, codes=np.empty(0, np.int32)))


def _load_segments(context: _RebuildContext, sources: Mapping[str, str]) -> Iterator[tuple[str, Segment]]:
    """(target key, segment) of the source files that can be read."""
    items = iter(sources.items())
    while group := dict(itertools.islice(items, _CHUNK_FILES)):
        for target, data in zip(group, context.work.map_keys(context.work.find, group.values()), strict=True):
            try:
                if data is not None:
                    yield target, load_segment(data, group[target])
            except SegmentFileError as error:
                _log.warning("not used to make %s again: %s", target, error)


def _read_from_rows(
    context: _RebuildContext, wanted: ExpectedHashes, *, with_codes: bool
) -> Iterator[tuple[str, bytes]]:
    """The dataset's rows hold all that a segment file does, the audio as FLAC."""
    if not wanted:
        return
    stems = {key.rsplit("/", 1)[-1].removesuffix(".npz"): key for key in wanted}
    layout = DatasetLayout(context.settings.dataset)
    for split in SPLITS:
        try:
            reader = context.work.open(layout.rows_key(FULL, context.partition, split))
        except ObjectNotFoundError:
            continue
        with reader:
            yield from _read_rows(reader, stems, with_codes=with_codes)


def _read_rows(reader: IO[bytes], stems: Mapping[str, str], *, with_codes: bool) -> Iterator[tuple[str, bytes]]:
    try:
        parquet = pq.ParquetFile(pa.PythonFile(reader))
        added = (name for name in ADDED_LABELS if name in parquet.schema_arrow.names)
        labels = ["text", *REQUIRED_LABELS, *added, "audio_id"]
        columns = ["__key__", "audio", *labels, *(["codes"] if with_codes else [])]
        if not set(columns) <= set(parquet.schema_arrow.names):
            return
        for number in range(parquet.num_row_groups):
            names = parquet.read_row_group(number, columns=["__key__"])["__key__"].to_pylist()
            row_numbers = [i for i, name in enumerate(names) if name.split("/", 1)[-1] in stems]
            if not row_numbers:
                continue
            for row in parquet.read_row_group(number, columns=columns).take(row_numbers).to_pylist():
                audio, rate = soundfile.read(io.BytesIO(row["audio"]["bytes"]), dtype="int16")
                codes = np.asarray(row["codes"] if with_codes else (), np.int32)
                text = {name: row[name] for name in labels}
                segment = Segment(audio=audio, duration_sec=len(audio) / rate, codes=codes, **text)
                yield stems[row["__key__"].split("/", 1)[-1]], dump_segment(segment)
    except (pa.ArrowException, soundfile.LibsndfileError, StoreError) as error:
        _log.warning("rows of the dataset are not used to make freed files again: %s", error)


def _cut_again(
    context: _RebuildContext, rebuild_sources: RebuildSources, wanted: ExpectedHashes, bar: progress.ProgressTask
) -> set[str]:
    """Decode the recordings of these segments and cut just them; returns those whose recording could not be read."""
    work, settings = context.work, context.settings
    manifest = read_complete_manifest(work, SEGMENTS, context.partition)
    if manifest.parameters.get("cut") != parameters(settings)["cut"]:
        raise LookupError(f"{context.partition}: the settings of cutting have changed: build its segments first")
    raw = rebuild_sources.raw()
    tasks = _plan_cut_tasks(context, manifest, raw, wanted)
    room = tasks[0].scratch.budget_bytes if tasks and tasks[0].scratch else 0
    count = settings.workers if raw.shareable and work.shareable else 1
    unread: set[str] = set()
    for task, result in workers.map_unordered(
        cut_recording, tasks, count, weigh=attrgetter("copy_bytes"), capacity=room, name=lambda task: task.recording.key
    ):
        mine = task.only_files or {}
        if result.outcome.status in ("unreadable", "unreachable"):
            _log.warning("%s: %s", result.outcome.raw_key, result.outcome.message)
            unread |= mine.keys()
        bar.advance(len(mine))
    return unread


def _plan_cut_tasks(context: _RebuildContext, manifest: Manifest, raw: Store, wanted: ExpectedHashes) -> list[CutTask]:
    batch = read_batch(context.work, context.partition)
    recordings = {recording.audio_id: recording for recording in batch.recordings}
    outcomes = {outcome.audio_id: outcome for outcome in manifest.recordings}
    parts: dict[str, dict[str, str]] = defaultdict(dict)
    for entry in manifest.files():
        if wanted.get(entry.key) == entry.sha256:
            parts[entry.audio_id][entry.key] = entry.sha256
    scratch = open_scratch(context.settings) if raw.local_root is None else None
    tasks = []
    for audio_id, part in parts.items():
        recording, before = recordings.get(audio_id), outcomes.get(audio_id)
        if recording is None or recording.vanished or recording.adopted or before is None:
            continue
        tasks.append(
            CutTask(
                raw,
                context.work,
                context.partition,
                recording,
                context.settings,
                previous=before,
                scratch=scratch,
                only_files=part,
            )
        )
    return sorted(tasks, key=lambda task: task.recording.duration_sec, reverse=True)


def _encode_again(context: _RebuildContext, codec: Codec, sources: Mapping[str, str]) -> Iterator[tuple[str, bytes]]:
    """Encode segment files again, one by one: `sources` says which key each becomes."""
    rate = context.settings.cut.sample_rate_hz
    for target, segment in _load_segments(context, {target: source for source, target in sources.items()}):
        codes: Codes = codec.encode([to_float(segment.audio)], rate)[0]
        yield target, dump_segment(dataclasses.replace(segment, codes=codes))
