"""Rebuild evicted segment files, byte for byte, from the nearest source: coded file, dataset row or recording.

`rebuild_files` is the frame for all stages; `voice_core.corpus.encode.encode_stage` uses it for coded files.
"""

import dataclasses
import io
import itertools
import logging
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import IO

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import soundfile

from voice_core.codecs.base import Codec
from voice_core.compute import progress
from voice_core.corpus.evicted import read_evicted, unmark_evicted
from voice_core.corpus.ingest.batches import read_batch
from voice_core.corpus.labels import ADDED_LABELS, REQUIRED_LABELS
from voice_core.corpus.manifest import Manifest, read_complete_manifest, read_manifest, write_manifest
from voice_core.corpus.names import CODED, FULL, SEGMENTS, SPLITS
from voice_core.corpus.segment.cut_recording import run_cut_tasks
from voice_core.corpus.segment.cut_task import CutTask
from voice_core.corpus.segment.segment_files import Segment, SegmentFileError, dump_segment, load_segment
from voice_core.corpus.segment.segment_plan import parameters
from voice_core.fingerprint import sha256
from voice_core.layout import DatasetLayout, PartitionKey, stage_prefix
from voice_core.settings import Settings
from voice_core.storage.store import ObjectNotFoundError, Store, StoreError

_CHUNK_FILES = 64  # files in memory at a time
_log = logging.getLogger(__name__)

ExpectedHashes = Mapping[str, str]  # SHA-256 by key


@dataclass(frozen=True, slots=True)
class RebuildSources:
    """The raw bucket and the codec that files are rebuilt from. Each is opened when it is needed."""

    raw: Callable[[], Store]
    codec: Callable[[], Codec | None]


@dataclass(frozen=True, slots=True)
class RebuildContext:
    """What the rebuilding of one partition's files needs."""

    work: Store
    sources: RebuildSources
    partition: PartitionKey
    settings: Settings
    bar: progress.ProgressTask


FileMaker = Callable[[RebuildContext, ExpectedHashes], set[str]]
"""Writes files of a stage; returns the keys of those whose recording cannot be read now."""


def rebuild_segments(
    work: Store,
    rebuild_sources: RebuildSources | None,
    partition: PartitionKey,
    settings: Settings,
    keys: Iterable[str],
) -> int:
    """Rebuild the evicted segment files among `keys`; as `rebuild_files`."""
    return rebuild_files(work, rebuild_sources, SEGMENTS, partition, settings, keys, _make_segments)


def rebuild_files(
    work: Store,
    rebuild_sources: RebuildSources | None,
    stage: str,
    partition: PartitionKey,
    settings: Settings,
    keys: Iterable[str],
    make: FileMaker,
) -> int:
    """Rebuild the evicted files of a stage among `keys`; returns their number.

    Each file gets exactly the bytes that were committed. A file for which that is impossible becomes a missing file,
    and its stage not current, so that the next build makes it again; it stays evicted if its recording cannot be read
    now. Raises `LookupError` if files are needed but there are no sources.
    """
    evicted = read_evicted(work, stage, partition)
    wanted = {key: evicted[key] for key in keys if key in evicted}
    if not wanted:
        return 0
    if rebuild_sources is None:
        raise LookupError(
            f"{partition}: freed files of {stage} are needed, such as {next(iter(wanted))} ({len(wanted)} in "
            "total): run `voice build` to rebuild them"
        )
    with progress.track(f"rebuilding freed {stage} of {partition}", len(wanted), "files") as bar:
        unread = make(RebuildContext(work, rebuild_sources, partition, settings, bar), wanted)
    there = {item.key for item in work.listing(stage_prefix(stage, partition))}
    if lost := wanted.keys() - unread - there:
        _log.warning(
            "%s: %d files of %s, such as %s, could not be rebuilt with their committed content; the next build makes "
            "them again",
            partition, len(lost), stage, min(lost),
        )  # fmt: skip
        _mark_stale(work, stage, partition)
    unmark_evicted(work, stage, partition, wanted.keys() - unread)
    return len(wanted)


def _mark_stale(work: Store, stage: str, partition: PartitionKey) -> None:
    manifest = read_manifest(work, stage, partition)
    if manifest is not None and manifest.complete and manifest.inputs:
        write_manifest(work, dataclasses.replace(manifest, inputs=""))


def _make_segments(context: RebuildContext, wanted: ExpectedHashes) -> set[str]:
    remaining = write_matching(context, wanted, _strip_codes(context, wanted))
    remaining = write_matching(context, remaining, read_from_rows(context, remaining, with_codes=False))
    return _cut_again(context, remaining) if remaining else set()


def write_matching(
    context: RebuildContext, wanted: ExpectedHashes, made: Iterable[tuple[str, bytes]]
) -> dict[str, str]:
    """Write the files that have their committed hash; returns the files that are still wanted."""
    remaining = dict(wanted)
    good = ((key, data) for key, data in made if remaining.get(key) == sha256(data))
    while group := dict(itertools.islice(good, _CHUNK_FILES)):
        context.work.put_many(group)
        for key in group:
            del remaining[key]
        context.bar.advance(len(group))
    return remaining


def _strip_codes(context: RebuildContext, wanted: ExpectedHashes) -> Iterator[tuple[str, bytes]]:
    """A coded file without its codes is the segment file."""
    there = {item.key for item in context.work.listing(stage_prefix(CODED, context.partition))}
    sources = {key: CODED + key.removeprefix(SEGMENTS) for key in wanted}
    for key, segment in load_segments(context, {key: source for key, source in sources.items() if source in there}):
        yield key, dump_segment(dataclasses.replace(segment, codes=np.empty(0, np.int32)))


def load_segments(context: RebuildContext, sources: Mapping[str, str]) -> Iterator[tuple[str, Segment]]:
    """The readable segments among `sources` (source key by target key), each with its target key."""
    items = iter(sources.items())
    while group := dict(itertools.islice(items, _CHUNK_FILES)):
        for target, data in zip(group, context.work.map_keys(context.work.find, group.values()), strict=True):
            try:
                if data is not None:
                    yield target, load_segment(data, group[target])
            except SegmentFileError as error:
                _log.warning("%s is not rebuilt from this file: %s", target, error)


def read_from_rows(context: RebuildContext, wanted: ExpectedHashes, *, with_codes: bool) -> Iterator[tuple[str, bytes]]:
    """Segment files from the rows of the dataset, which contain all their fields, the audio as FLAC."""
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
        _log.warning("freed files are not rebuilt from the rows of the dataset: %s", error)


def _cut_again(context: RebuildContext, wanted: ExpectedHashes) -> set[str]:
    """Cut these segments from their recordings; returns those whose recording cannot be read."""
    manifest = read_complete_manifest(context.work, SEGMENTS, context.partition)
    if manifest.parameters.get("cut") != parameters(context.settings)["cut"]:
        raise LookupError(f"{context.partition}: the cut settings have changed: build its segments first")
    unread: set[str] = set()
    for task, result in run_cut_tasks(_plan_cut_tasks(context, manifest, wanted), context.settings):
        mine = task.only_files or {}
        if result.outcome.status in ("unreadable", "unreachable"):
            _log.warning("%s: %s", result.outcome.raw_key, result.outcome.message)
            unread |= mine.keys()
        context.bar.advance(len(mine))
    return unread


def _plan_cut_tasks(context: RebuildContext, manifest: Manifest, wanted: ExpectedHashes) -> list[CutTask]:
    raw = context.sources.raw()
    batch = read_batch(context.work, context.partition)
    recordings = {recording.audio_id: recording for recording in batch.recordings}
    outcomes = {outcome.audio_id: outcome for outcome in manifest.recordings}
    parts: dict[str, dict[str, str]] = defaultdict(dict)
    for entry in manifest.files():
        if wanted.get(entry.key) == entry.sha256:
            parts[entry.audio_id][entry.key] = entry.sha256
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
                only_files=part,
            )
        )
    return tasks
