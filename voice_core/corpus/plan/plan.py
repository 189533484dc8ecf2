"""What a build would do now, without doing it: nothing is written, and no audio is read.

The decisions are those of the stages (`segment_stage.plan_segments`, `plan_lines`, `encode_stage.plan_codes`,
`plan_splits`), applied to what is known. What is unknown before audio is decoded is estimated, and every figure says
which of the two it is.
"""

from collections.abc import Collection, Mapping

from voice_core.codecs.base import Codec
from voice_core.corpus.dataset import pairs, rows_stage, splits
from voice_core.corpus.dataset.splits import SplitRow, Splits
from voice_core.corpus.ingest.discovery import Discovery
from voice_core.corpus.plan.build_plan import BuildPlan, PartitionPlan
from voice_core.corpus.plan.cutting_estimates import average_recordings
from voice_core.corpus.plan.estimates import DatasetAverages, compute_averages
from voice_core.corpus.plan.partition_state import PartitionState, needs_ingest, read_partition_states
from voice_core.corpus.plan.segment_forecast import MAX_TRANSCRIPTS, forecast_segments
from voice_core.corpus.plan.stage_plans import (
    CodesPlan,
    RowsPlan,
    SegmentsPlan,
    list_split_rows,
    plan_codes,
    plan_rows,
    plan_segments,
    sum_sizes,
)
from voice_core.corpus.status import BuildStatus
from voice_core.layout import PartitionKey
from voice_core.settings import Settings
from voice_core.storage.store import Store

_SAMPLED_PARTITIONS = 20  # averages are computed from so many


def plan_build(
    raw: Store,
    work: Store,
    discovery: Discovery,
    status: BuildStatus,
    codec: Codec | None,
    settings: Settings,
    chosen: Collection[PartitionKey] = (),
    *,
    max_transcripts: int = MAX_TRANSCRIPTS,
) -> BuildPlan:
    """What `voice build` would do, from the results of `discover` and `read_status`; `chosen` limits the partitions.

    Raises:
        LookupError: a chosen partition does not exist.
        StoreError: a store cannot be read.
    """
    unknown = set(chosen) - {item.partition for item in status.partitions}
    if unknown:
        raise LookupError(f"there is no partition {', '.join(map(str, sorted(unknown)))}; `voice status` lists them")
    selected = [item for item in status.partitions if not chosen or item.partition in chosen]
    averages = _read_averages(work, status, settings)
    forecasts = forecast_segments(
        raw,
        work,
        discovery,
        [item.batch for item in selected if needs_ingest(item)],
        settings,
        averages.kept_share,
        max_transcripts=max_transcripts,
    )
    recording_averages = average_recordings(forecasts)
    by_partition = {forecast.batch.partition: forecast for forecast in forecasts}
    states = read_partition_states(work, selected, settings, with_codes=codec is not None)
    segments = {
        state.partition: plan_segments(state, by_partition.get(state.partition), recording_averages) for state in states
    }
    planned_splits, replanned, certain = _plan_splits(work, status, segments, settings)
    plans = []
    for state in states:
        mine = segments[state.partition]
        codes = plan_codes(state, mine, codec, settings)
        rows = plan_rows(state, mine, codes, codec, settings, planned_splits, averages, certain=certain)
        plans.append(_combine(state, mine, codes, rows))
    changed = tuple(plan for plan in plans if not plan.empty)
    card = not status.card.up_to_date or any(plan.rows_written or plan.pairs_written for plan in changed)
    recordings = sum(len(plan.batch.recordings) for plan in segments.values())
    unread = sum(not item.read for forecast in forecasts for item in forecast.recording_forecasts)
    note = (
        f"{unread:,} transcripts were not read: their recordings are assumed to resemble the other {max_transcripts:,}"
    )
    basis = (*averages.basis, *([note] if unread else ()))
    return BuildPlan(changed, len(plans), recordings, replanned, card, basis, tuple(discovery.listing.strays))


def _combine(state: PartitionState, segments: SegmentsPlan, codes: CodesPlan, rows: RowsPlan) -> PartitionPlan:
    rebuild = codes.rebuild + rows.rebuild
    recordings = state.status.batch.recordings
    return PartitionPlan(
        state.partition,
        len(recordings),
        sum(recording.audio is None and recording.adopted is None for recording in recordings),
        segments.decode,
        segments.cut,
        codes.encode,
        rows.rows,
        rows.pairs,
        rebuild.files,
        rebuild.decode,
        rebuild.encode,
        rows.rows_written,
        rows.pairs_written,
    )


def _plan_splits(
    work: Store, status: BuildStatus, segments: Mapping[PartitionKey, SegmentsPlan], settings: Settings
) -> tuple[Splits, bool, bool]:
    """The splits as they will be; whether they are assigned again; whether that is certain."""
    current = splits.read_splits(work, settings)
    changing = {partition: plan for partition, plan in segments.items() if plan.changes}
    if current is not None and not changing and status.splits.up_to_date:
        return current, False, True
    rows: list[SplitRow] = []
    for item in status.partitions:
        if item.partition in changing:
            rows += list_split_rows(item.partition.channel, changing[item.partition])
        elif item.manifest is not None and item.manifest.complete:
            rows += splits.split_rows([item.manifest])
    current = current or splits.recover_splits(work, [str(item.partition) for item in status.partitions], settings)
    return splits.plan_splits(rows, settings.split, current), True, all(plan.known for plan in changing.values())


def _read_averages(work: Store, status: BuildStatus, settings: Settings) -> DatasetAverages:
    finished = [item for item in status.partitions if item.manifest is not None and item.manifest.complete]
    sampled = finished[-_SAMPLED_PARTITIONS:]
    rows, paired = [], []
    for item in sampled:
        manifest = rows_stage.read_dataset_manifest(work, item.partition, settings)
        record = pairs.read_pairs(work, item.partition, settings)
        if manifest is not None and manifest.complete:
            rows.append(manifest)
            if record is not None:
                paired.append((len(manifest.kept()), record.pairs, sum_sizes(record.files)))
    return compute_averages([item.manifest for item in sampled if item.manifest is not None], rows, paired)
