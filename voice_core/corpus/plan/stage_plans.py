"""The stages of one partition in a plan: what cutting, encoding and writing would do.

Reads manifests and listings; `planning` puts the partitions together.
"""

import dataclasses
import math
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field

from voice_core.codecs.base import Codec
from voice_core.corpus.dataset import pairs, rows_stage
from voice_core.corpus.dataset.pairs import PairsRecord
from voice_core.corpus.dataset.splits import SplitRow, Splits
from voice_core.corpus.encode import encode_stage
from voice_core.corpus.ingest.batch_model import Batch
from voice_core.corpus.names import CODED, SEGMENTS
from voice_core.corpus.plan.build_plan import PartitionPlan, StageWork
from voice_core.corpus.plan.cutting_estimates import (
    NO_NEW_SEGMENTS,
    NewSegmentTotals,
    RecordingAverages,
    estimate_cutting,
    expected_totals,
)
from voice_core.corpus.plan.estimates import DatasetAverages, Quantity, codes_bytes
from voice_core.corpus.plan.rebuilds import AvailableFiles, RebuildWork, plan_coded_rebuild, plan_segment_rebuild
from voice_core.corpus.plan.segment_forecast import NewSegment, SegmentForecast
from voice_core.corpus.status import PartitionStatus
from voice_core.layout import PartitionKey, manifest_key, stage_prefix
from voice_core.settings import Settings
from voice_core.stages.commit import intact_keys
from voice_core.stages.evicted import EvictedFiles, read_evicted
from voice_core.stages.manifest import Entry, Manifest, read_manifest
from voice_core.storage.store import Store


@dataclass(slots=True)
class PartitionForecast:
    """One partition on its way through the stages. `entries` are the rows of its segments as far as they are known."""

    status: PartitionStatus
    batch: Batch  # as the next snapshot will describe it
    plan: PartitionPlan
    entries: Sequence[Entry] = field(default=(), repr=False)
    new_segments: NewSegmentTotals = NO_NEW_SEGMENTS
    new: tuple[NewSegment, ...] = field(default=(), repr=False)  # lines that would be cut, as far as they were read
    known: bool = True  # whether `entries` are all there will be
    segments_change: bool = False  # whether the segments' manifest will be another
    source_changes: bool = False  # whether the manifest that rows are made of will be another
    coded: Manifest | None = None
    rows: Manifest | None = None
    pairs: PairsRecord | None = None
    ready: Sequence[Entry] = ()  # rows of coded files that stand

    @property
    def partition(self) -> PartitionKey:
        return self.status.partition

    def split_rows(self) -> list[SplitRow]:
        """What the splits are dealt by: kept rows, and lines that may be kept."""
        channel = self.partition.channel
        rows = [SplitRow(channel, item.audio_id, item.speaker_id, item.text) for item in self.entries if item.kept]
        return rows + [
            SplitRow(channel, new.audio_id, new.speaker_id, new.text) for new in self.new if new.keep_probability
        ]

    def add(self, **parts: StageWork | Quantity | bool) -> None:
        self.plan = dataclasses.replace(self.plan, **parts)  # type: ignore[arg-type]

    def add_rebuild(self, what: RebuildWork) -> None:
        plan = self.plan
        self.add(
            restored=plan.restored + what.files,
            restored_decode=plan.restored_decode + what.decode,
            restored_encode=plan.restored_encode + what.encode,
        )


def size_of(files: Iterable[dict[str, str | int]]) -> int:
    return sum(int(item["size_bytes"]) for item in files)


def plan_cutting(
    work: Store, item: PartitionStatus, forecast: SegmentForecast | None, common: RecordingAverages
) -> PartitionForecast:
    """The stage "segments"."""
    new = sum(recording.audio is None and recording.adopted is None for recording in item.batch.recordings)
    plan = PartitionPlan(item.partition, len(item.batch.recordings), new)
    if forecast is None:
        return PartitionForecast(item, item.batch, plan, item.manifest.entries if item.manifest else ())
    made = estimate_cutting(forecast, common)
    written = Quantity(made.new_segments.size_bytes, exact=False)
    freed = read_evicted(work, SEGMENTS, item.partition)
    standing = sum(entry.size_bytes for entry in forecast.reused if entry.key and entry.key not in freed)
    before = sum(_file_sizes(work, SEGMENTS, item.partition).values())
    case = PartitionForecast(
        item,
        forecast.batch,
        plan,
        forecast.reused,
        made.new_segments,
        tuple(new for opened in forecast.recording_forecasts for new in opened.new),
        forecast.known,
        segments_change=forecast.changed,
        source_changes=forecast.changed,
    )
    stored = Quantity(standing - before) + written
    decode = StageWork(made.decoded, made.decoded_sec, made.raw_bytes, written, written, stored)
    case.add(decode=decode, cut=made.cut)
    return case


def _file_sizes(work: Store, stage: str, partition: PartitionKey) -> dict[str, int]:
    """Sizes by key of a stage's files, without its manifest."""
    found = {item.key: item.size for item in work.listing(stage_prefix(stage, partition))}
    found.pop(manifest_key(stage, partition), None)
    return found


def plan_encoding(work: Store, case: PartitionForecast, codec: Codec | None, settings: Settings) -> None:
    """The stage "coded"."""
    if codec is None:
        return
    segments, partition = case.status.manifest, case.partition
    if not case.source_changes and case.status.coded.up_to_date:
        return
    case.coded = read_manifest(work, CODED, partition)
    if (
        not case.source_changes
        and segments is not None
        and encode_stage.is_current(segments, case.coded, codec, settings)
    ):
        return
    case.source_changes = True
    intact = intact_keys(work, case.coded, verify=False)
    ready, todo = encode_stage.plan_codes(case.entries, case.coded, intact, codec, settings)
    case.ready = ready
    made_by = (codec.name, codec.revision)
    with_codes = {
        item.audio_id
        for item in case.batch.recordings
        if item.adopted and (item.adopted.codec, item.adopted.revision) == made_by
    }
    plain = [entry for entry in todo if entry.audio_id not in with_codes]
    size = Quantity(sum(entry.size_bytes for entry in todo)) + Quantity(case.new_segments.kept_bytes, exact=False)
    samples = [_samples(entry, codec, settings) for entry in todo]
    codes = Quantity(codes_bytes(sum(map(codec.code_count, samples))))
    codes += Quantity(codes_bytes(case.new_segments.kept_sec * codec.codes_per_sec), exact=False)
    seconds = Quantity(math.fsum(entry.duration_sec or 0.0 for entry in plain))
    freed = read_evicted(work, CODED, partition)
    standing = sum(entry.size_bytes for entry in ready if entry.key and entry.key not in freed)
    there = _file_sizes(work, CODED, partition)
    written = size + codes
    case.add(
        encode=StageWork(
            items=Quantity(len(plain)) + Quantity(case.new_segments.kept, exact=False),
            audio_sec=seconds + Quantity(case.new_segments.kept_sec, exact=False),
            work_read=size + written.scaled(2),  # two checks read what was written
            work_written=written,
            stored=Quantity(standing - sum(there.values())) + written,
        )
    )
    evicted = read_evicted(work, SEGMENTS, partition)
    wanted = [entry for entry in todo if entry.key in evicted]
    if wanted:
        case.add_rebuild(
            plan_segment_rebuild(wanted, _available_files(work, case, there, settings), settings.cut.sample_rate_hz)
        )


def _samples(entry: Entry, codec: Codec, settings: Settings) -> int:
    """At the codec's rate, as resampling rounds."""
    rate = settings.cut.sample_rate_hz
    return -(-round((entry.duration_sec or 0.0) * rate) * codec.input_sample_rate_hz // rate)


def _available_files(
    work: Store, case: PartitionForecast, coded: Collection[str], settings: Settings
) -> AvailableFiles:
    rows = _read_rows(work, case, settings)
    freed = EvictedFiles(work)
    there = rows is not None and not any(freed.contains(*file) for file in rows_stage.list_parquet_files(rows))
    names = {(entry.audio_id, entry.index) for entry in rows.kept()} if rows is not None and there else set()
    return AvailableFiles(coded, names, {item.audio_id: item for item in case.batch.recordings})


def _read_rows(work: Store, case: PartitionForecast, settings: Settings) -> Manifest | None:
    if case.rows is None:
        case.rows = rows_stage.read_dataset_manifest(work, case.partition, settings, lazily=True)
    return case.rows


def plan_writing(
    work: Store,
    case: PartitionForecast,
    codec: Codec | None,
    settings: Settings,
    planned_splits: Splits,
    averages: DatasetAverages,
    *,
    certain: bool,
) -> None:
    """The stages "dataset" and "pairs"."""
    rows = _read_rows(work, case, settings)
    case.pairs = pairs.read_pairs(work, case.partition, settings)
    source = case.status.manifest
    if codec is not None and not case.source_changes:
        source = case.coded or read_manifest(work, CODED, case.partition, lazily=True)
    stands = (
        not case.source_changes and source is not None and rows_stage.is_current(source, rows, planned_splits, settings)
    )
    paired = rows is not None and case.pairs is not None and case.pairs.inputs == pairs.stage_inputs(rows, settings)
    freed = EvictedFiles(work)
    if stands and paired:
        return
    if stands and rows is not None and not any(freed.contains(*file) for file in rows_stage.list_parquet_files(rows)):
        case.add(pairs_written=True)
        return
    _write_rows(work, case, codec, settings, planned_splits, averages, source, certain=certain)


def _write_rows(
    work: Store,
    case: PartitionForecast,
    codec: Codec | None,
    settings: Settings,
    planned_splits: Splits,
    averages: DatasetAverages,
    source: Manifest | None,
    *,
    certain: bool,
) -> None:
    channel = case.partition.channel
    entries = case.entries if case.source_changes or source is None else source.entries
    kept = [
        entry
        for entry in entries
        if entry.kept and not planned_splits.leaks(planned_splits.split_of(channel, entry.audio_id), entry.text)
    ]
    in_train = (
        new for new in case.new if planned_splits.leaks(planned_splits.split_of(channel, new.audio_id), new.text)
    )
    new_segments = case.new_segments + sum(map(expected_totals, in_train), NO_NEW_SEGMENTS).scaled(-1)
    count = Quantity(len(kept), certain) + Quantity(new_segments.kept, exact=False)
    seconds = Quantity(math.fsum(entry.duration_sec or 0.0 for entry in kept), certain) + Quantity(
        new_segments.kept_sec, exact=False
    )
    known: float = sum(entry.size_bytes for entry in entries if entry.kept)
    if codec is not None and case.source_changes:  # `entries` are the segments': their codes come on top
        known += sum(codes_bytes(codec.code_count(_samples(entry, codec, settings))) for entry in entries if entry.kept)
    codes = codes_bytes(new_segments.kept_sec * codec.codes_per_sec) if codec is not None else 0.0
    read = Quantity(known, certain) + Quantity(new_segments.kept_bytes + codes, exact=False)
    own = case.rows if case.rows is not None and case.rows.complete else None
    parquet = seconds.scaled(_row_bytes(own) or averages.row_bytes_per_sec, exact=False)
    freed = EvictedFiles(work)
    old = _stored_bytes(freed, own.parameters.get("files", []) if own is not None else [])
    case.add(
        rows=StageWork(count, seconds, work_read=read + parquet, work_written=parquet, stored=parquet + Quantity(-old)),
        rows_written=True,
    )
    _write_pairs(case, count, averages, freed)
    if codec is not None:
        _plan_coded_rebuild(work, case, entries, settings)


def _stored_bytes(freed: EvictedFiles, files: Iterable[dict[str, str | int]]) -> int:
    """Bytes of those files that were not freed."""
    return size_of(item for item in files if not freed.contains(str(item["key"]), str(item["sha256"])))


def _row_bytes(rows: Manifest | None) -> float:
    """Parquet a second of this partition's own rows; 0 where there are none."""
    seconds = math.fsum(entry.duration_sec or 0.0 for entry in rows.kept()) if rows is not None else 0.0
    return size_of(rows.parameters.get("files", [])) / seconds if rows is not None and seconds else 0.0


def _write_pairs(case: PartitionForecast, rows: Quantity, averages: DatasetAverages, freed: EvictedFiles) -> None:
    share, size = averages.pairs_per_row, averages.pair_bytes
    old, before = 0, case.rows
    if case.pairs is not None:
        old = _stored_bytes(freed, case.pairs.files)
        if case.pairs.pairs and before is not None and before.complete and before.kept():
            share = case.pairs.pairs / len(before.kept())
            size = size_of(case.pairs.files) / case.pairs.pairs
    count = rows.scaled(share, exact=False)
    written = count.scaled(size)
    case.add(pairs=StageWork(count, work_written=written, stored=written + Quantity(-old)), pairs_written=True)


def _plan_coded_rebuild(work: Store, case: PartitionForecast, entries: Sequence[Entry], settings: Settings) -> None:
    """Coded files that were freed, and are needed to write rows."""
    evicted = read_evicted(work, CODED, case.partition)
    if not evicted:
        return
    if case.source_changes:
        wanted = [entry for entry in case.ready if entry.kept and entry.key in evicted]
    else:
        wanted = [entry for entry in entries if entry.kept and entry.key in evicted]
    if wanted:
        manifest = case.status.manifest
        segments = {(entry.audio_id, entry.index): entry for entry in (manifest.entries if manifest else ())}
        gone = read_evicted(work, SEGMENTS, case.partition)
        coded = _file_sizes(work, CODED, case.partition)
        sources = _available_files(work, case, coded, settings)
        case.add_rebuild(plan_coded_rebuild(wanted, segments, gone, sources, settings.cut.sample_rate_hz))
