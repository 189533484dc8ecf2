"""What each stage of a build would do with one partition. Pure: from its state, and from what the stages before leave.

`plan` reads the states, calls these functions in order and puts their results together.
"""

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from voice_core.codecs.base import Codec
from voice_core.corpus.dataset import pairs, rows_stage
from voice_core.corpus.dataset.splits import SplitRow, Splits
from voice_core.corpus.encode import encode_stage
from voice_core.corpus.ingest.batch_model import Batch
from voice_core.corpus.manifest import Entry, Manifest
from voice_core.corpus.plan.build_plan import NO_WORK, StageWork
from voice_core.corpus.plan.cutting_estimates import (
    NO_NEW_SEGMENTS,
    NewSegmentTotals,
    RecordingAverages,
    estimate_cutting,
    expected_totals,
)
from voice_core.corpus.plan.estimates import ZERO, DatasetAverages, Quantity, codes_bytes
from voice_core.corpus.plan.partition_state import PartitionState
from voice_core.corpus.plan.rebuilds import (
    NO_REBUILD,
    AvailableFiles,
    RebuildSteps,
    RebuildWork,
    list_present_rows,
    measure_rebuild,
    plan_coded_rebuild,
    plan_segment_rebuild,
)
from voice_core.corpus.plan.segment_forecast import NewSegment, SegmentForecast
from voice_core.settings import Settings


@dataclass(frozen=True, slots=True)
class SegmentsPlan:
    """The stage "segments". `entries` are the rows of the manifest as far as they are known before cutting."""

    batch: Batch  # as the next snapshot describes it
    entries: Sequence[Entry] = field(repr=False)
    new: tuple[NewSegment, ...] = field(default=(), repr=False)  # lines to be cut, of transcripts that were read
    new_totals: NewSegmentTotals = NO_NEW_SEGMENTS  # of all lines to be cut
    known: bool = True  # whether `entries` are all rows of the manifest
    changes: bool = False  # whether the manifest changes
    decode: StageWork = NO_WORK
    cut: Quantity = ZERO


@dataclass(frozen=True, slots=True)
class CodesPlan:
    """The stage "coded"."""

    changes: bool  # whether the manifest that rows are written from changes
    ready: Sequence[Entry] = field(default=(), repr=False)  # rows of coded files that are kept
    encode: StageWork = NO_WORK
    rebuild: RebuildWork = NO_REBUILD


@dataclass(frozen=True, slots=True)
class RowsPlan:
    """The stages "dataset" and "pairs"."""

    rows: StageWork = NO_WORK
    pairs: StageWork = NO_WORK
    rebuild: RebuildWork = NO_REBUILD
    rows_written: bool = False
    pairs_written: bool = False


def plan_segments(state: PartitionState, forecast: SegmentForecast | None, averages: RecordingAverages) -> SegmentsPlan:
    """`forecast` is None where the segments are up to date."""
    if forecast is None:
        manifest = state.status.manifest
        return SegmentsPlan(state.status.batch, manifest.entries if manifest else ())
    estimate = estimate_cutting(forecast, averages)
    written = Quantity(estimate.new_segments.size_bytes, exact=False)
    stored = Quantity(_size_present(forecast.reused, state.evicted_segments) - sum(state.segment_sizes.values()))
    return SegmentsPlan(
        forecast.batch,
        forecast.reused,
        tuple(new for recording in forecast.recording_forecasts for new in recording.new),
        estimate.new_segments,
        forecast.known,
        forecast.changed,
        StageWork(
            estimate.decoded, estimate.decoded_sec, estimate.raw_bytes, written, written, stored=stored + written
        ),
        estimate.cut,
    )


def list_split_rows(channel: str, plan: SegmentsPlan) -> list[SplitRow]:
    """What splits are assigned by: kept rows, and lines that may be kept."""
    rows = [SplitRow(channel, item.audio_id, item.speaker_id, item.text) for item in plan.entries if item.kept]
    return rows + [
        SplitRow(channel, new.audio_id, new.speaker_id, new.text) for new in plan.new if new.keep_probability
    ]


def plan_codes(state: PartitionState, segments: SegmentsPlan, codec: Codec | None, settings: Settings) -> CodesPlan:
    manifest = state.status.manifest
    if codec is None:
        return CodesPlan(segments.changes)
    if not segments.changes and (
        state.status.coded.up_to_date
        or (manifest is not None and encode_stage.is_current(manifest, state.coded, codec, settings))
    ):
        return CodesPlan(changes=False)
    ready, todo = encode_stage.plan_codes(segments.entries, state.coded, state.intact_coded, codec, settings)
    with_codes = {
        item.audio_id
        for item in segments.batch.recordings
        if item.adopted and (item.adopted.codec, item.adopted.revision) == (codec.name, codec.revision)
    }
    encoded = [entry for entry in todo if entry.audio_id not in with_codes]
    new = segments.new_totals
    size = Quantity(sum(entry.size_bytes for entry in todo)) + Quantity(new.kept_bytes, exact=False)
    codes = Quantity(_estimate_codes_bytes(todo, codec, settings))
    written = size + (codes + Quantity(codes_bytes(new.kept_sec * codec.codes_per_sec), exact=False))
    encode = StageWork(
        items=Quantity(len(encoded)) + Quantity(new.kept, exact=False),
        audio_sec=Quantity(_sum_seconds(encoded)) + Quantity(new.kept_sec, exact=False),
        work_read=size + written.scaled(2),  # two checks read what was written
        work_written=written,
        stored=Quantity(_size_present(ready, state.evicted_coded) - sum(state.coded_sizes.values())) + written,
    )
    wanted = [entry for entry in todo if entry.key in state.evicted_segments]
    steps = plan_segment_rebuild(wanted, _available_files(state)) if wanted else RebuildSteps()
    return CodesPlan(True, ready, encode, _measure(steps, segments, settings))


def plan_rows(
    state: PartitionState,
    segments: SegmentsPlan,
    codes: CodesPlan,
    codec: Codec | None,
    settings: Settings,
    planned_splits: Splits,
    averages: DatasetAverages,
    *,
    certain: bool,
) -> RowsPlan:
    """`planned_splits` are the splits as they will be; `certain` says whether they are exact."""
    source = state.status.manifest if codec is None or codes.changes else state.coded
    rows = state.rows
    if not codes.changes and source is not None and rows_stage.is_current(source, rows, planned_splits, settings):
        if rows is not None and state.pairs is not None and state.pairs.inputs == pairs.stage_inputs(rows, settings):
            return RowsPlan()
        if rows is not None and not any(key in state.evicted_dataset for key, _ in rows_stage.list_parquet_files(rows)):
            return RowsPlan(pairs_written=True)
    entries = segments.entries if codes.changes or source is None else source.entries
    kept = [entry for entry in entries if entry.kept and not _leaks(planned_splits, state, entry.audio_id, entry.text)]
    leaking = [expected_totals(new) for new in segments.new if _leaks(planned_splits, state, new.audio_id, new.text)]
    new_totals = segments.new_totals + sum(leaking, NO_NEW_SEGMENTS).scaled(-1)
    count = Quantity(len(kept), certain) + Quantity(new_totals.kept, exact=False)
    seconds = Quantity(_sum_seconds(kept), certain) + Quantity(new_totals.kept_sec, exact=False)
    sources = [entry for entry in entries if entry.kept]
    known: float = sum(entry.size_bytes for entry in sources)
    if codec is not None and codes.changes:  # `entries` are segments: their codes are added
        known += _estimate_codes_bytes(sources, codec, settings)
    new_codes = codes_bytes(new_totals.kept_sec * codec.codes_per_sec) if codec is not None else 0.0
    read = Quantity(known, certain) + Quantity(new_totals.kept_bytes + new_codes, exact=False)
    own = rows if rows is not None and rows.complete else None
    parquet = seconds.scaled(_row_bytes_per_sec(own) or averages.row_bytes_per_sec, exact=False)
    old = _stored_bytes(state, own.parameters.get("files", []) if own is not None else [])
    steps = RebuildSteps()
    if codec is not None:
        steps = _plan_coded_rebuild(state, codes.ready if codes.changes else entries)
    return RowsPlan(
        StageWork(count, seconds, work_read=read + parquet, work_written=parquet, stored=parquet + Quantity(-old)),
        _plan_pairs(state, count, averages),
        _measure(steps, segments, settings),
        rows_written=True,
        pairs_written=True,
    )


def _plan_pairs(state: PartitionState, rows: Quantity, averages: DatasetAverages) -> StageWork:
    share, size = averages.pairs_per_row, averages.pair_bytes
    old, record = 0, state.pairs
    if record is not None:
        old = _stored_bytes(state, record.files)
        if record.pairs and state.rows is not None and state.rows.complete and state.rows.kept():
            share = record.pairs / len(state.rows.kept())
            size = sum_sizes(record.files) / record.pairs
    count = rows.scaled(share, exact=False)
    written = count.scaled(size)
    return StageWork(count, work_written=written, stored=written + Quantity(-old))


def _plan_coded_rebuild(state: PartitionState, needed: Iterable[Entry]) -> RebuildSteps:
    """Of the coded files that rows are written from, those that are evicted."""
    wanted = [entry for entry in needed if entry.kept and entry.key in state.evicted_coded]
    manifest = state.status.manifest
    segments = {(entry.audio_id, entry.index): entry for entry in manifest.entries} if wanted and manifest else {}
    return plan_coded_rebuild(wanted, segments, _available_files(state)) if wanted else RebuildSteps()


def _available_files(state: PartitionState) -> AvailableFiles:
    return AvailableFiles(
        state.coded_sizes, list_present_rows(state.rows, state.evicted_dataset), state.evicted_segments
    )


def _measure(steps: RebuildSteps, segments: SegmentsPlan, settings: Settings) -> RebuildWork:
    recordings = {item.audio_id: item for item in segments.batch.recordings}
    return measure_rebuild(steps, recordings, settings.cut.sample_rate_hz)


def _leaks(planned_splits: Splits, state: PartitionState, audio_id: str, text: str) -> bool:
    return planned_splits.leaks(planned_splits.split_of(state.partition.channel, audio_id), text)


def _sum_seconds(entries: Iterable[Entry]) -> float:
    return math.fsum(entry.duration_sec or 0.0 for entry in entries)


def _size_present(entries: Iterable[Entry], evicted: Collection[str]) -> int:
    """Bytes of the rows' files that are not evicted."""
    return sum(entry.size_bytes for entry in entries if entry.key and entry.key not in evicted)


def _estimate_codes_bytes(entries: Iterable[Entry], codec: Codec, settings: Settings) -> float:
    """Bytes of the codes of segments; lengths at the codec's rate are rounded up, as resampling does."""
    rate = settings.cut.sample_rate_hz
    samples = [-(-round((entry.duration_sec or 0.0) * rate) * codec.input_sample_rate_hz // rate) for entry in entries]
    return codes_bytes(sum(map(codec.code_count, samples)))


def sum_sizes(files: Iterable[Mapping[str, str | int]]) -> int:
    return sum(int(item["size_bytes"]) for item in files)


def _stored_bytes(state: PartitionState, files: Iterable[Mapping[str, str | int]]) -> int:
    """Bytes of those Parquet files that are not evicted."""
    return sum_sizes(item for item in files if item["key"] not in state.evicted_dataset)


def _row_bytes_per_sec(rows: Manifest | None) -> float:
    """Parquet bytes per second of this partition's own rows; 0 where there are none."""
    seconds = _sum_seconds(rows.kept()) if rows is not None else 0.0
    return sum_sizes(rows.parameters.get("files", [])) / seconds if rows is not None and seconds else 0.0
