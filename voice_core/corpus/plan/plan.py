"""What a build would do now, without doing it: nothing is written, no audio is read.

The stages' own functions decide (`segmenting.divide`, `plan_lines`, `coding.divide`, `plan_splits`) on what is known.
What is not known before audio is decoded is estimated, and every figure says which it is.
"""

from collections.abc import Collection, Sequence

from voice_core.codecs.base import Codec
from voice_core.corpus.dataset import pairs, rows_stage, splits
from voice_core.corpus.dataset.splits import SplitRow, Splits
from voice_core.corpus.ingest.discovery import Discovery
from voice_core.corpus.plan.build_plan import BuildPlan
from voice_core.corpus.plan.cutting_estimates import average_recordings
from voice_core.corpus.plan.estimates import DatasetAverages, compute_averages
from voice_core.corpus.plan.segment_forecast import MAX_TRANSCRIPTS, forecast_segments
from voice_core.corpus.plan.stage_plans import PartitionForecast, plan_cutting, plan_encoding, plan_writing, size_of
from voice_core.corpus.status import BuildStatus
from voice_core.layout import PartitionKey
from voice_core.settings import Settings
from voice_core.storage.store import Store

_SAMPLED = 20  # partitions that averages are taken of
_INGEST = ("raw_audio", "segments")


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
    """What `voice build` would do, from what `discover` and `survey` found; `chosen` limits it to some partitions.

    Raises `LookupError` for a chosen partition that is not there, and `StoreError` where a store cannot be read.
    """
    unknown = set(chosen) - {item.partition for item in status.partitions}
    if unknown:
        raise LookupError(f"there is no partition {', '.join(map(str, sorted(unknown)))}; `voice status` lists them")
    mine = [item for item in status.partitions if not chosen or item.partition in chosen]
    averages = _averages(work, status, settings)
    unsettled = [item.batch for item in mine if any(not item.states[name].up_to_date for name in _INGEST)]
    forecasts = forecast_segments(
        raw, work, discovery, unsettled, settings, averages.kept_share, max_transcripts=max_transcripts
    )
    recording_averages = average_recordings(forecasts)
    forecast_by_partition = {forecast.batch.partition: forecast for forecast in forecasts}
    cases = [plan_cutting(work, item, forecast_by_partition.get(item.partition), recording_averages) for item in mine]
    for case in cases:
        plan_encoding(work, case, codec, settings)
    planned_splits, replanned, certain = _plan_splits(work, status, cases, settings)
    for case in cases:
        plan_writing(work, case, codec, settings, planned_splits, averages, certain=certain)
    changed = tuple(case.plan for case in cases if not case.plan.empty)
    card = not status.card.up_to_date or any(plan.rows_written or plan.pairs_written for plan in changed)
    recordings = sum(len(case.batch.recordings) for case in cases)
    unread = sum(not item.read for forecast in forecasts for item in forecast.recording_forecasts)
    note = f"{unread:,} transcripts were not read: their recordings are taken to be like the {max_transcripts:,} others"
    basis = (*averages.basis, *([note] if unread else ()))
    return BuildPlan(changed, len(cases), recordings, replanned, card, basis, tuple(discovery.listing.strays))


def _plan_splits(
    work: Store, status: BuildStatus, cases: Sequence[PartitionForecast], settings: Settings
) -> tuple[Splits, bool, bool]:
    """The splits as they will be; whether they are planned anew; whether that is certain."""
    before = splits.read_splits(work, settings)
    resegmented = {case.partition: case for case in cases if case.segments_change}
    if before is not None and not resegmented and status.splits.up_to_date:
        return before, False, True
    spoken: list[SplitRow] = []
    for item in status.partitions:
        case = resegmented.get(item.partition)
        if case is not None:
            spoken += case.split_rows()
        elif item.manifest is not None and item.manifest.complete:
            spoken += splits.split_rows([item.manifest])
    before = before or splits.recover_splits(work, [str(item.partition) for item in status.partitions], settings)
    return splits.plan_splits(spoken, settings.split, before), True, all(case.known for case in resegmented.values())


def _averages(work: Store, status: BuildStatus, settings: Settings) -> DatasetAverages:
    finished = [item for item in status.partitions if item.manifest is not None and item.manifest.complete][-_SAMPLED:]
    rows, paired = [], []
    for item in finished:
        manifest = rows_stage.read_dataset_manifest(work, item.partition, settings)
        record = pairs.read_pairs(work, item.partition, settings)
        if manifest is not None and manifest.complete:
            rows.append(manifest)
            if record is not None:
                paired.append((len(manifest.kept()), record.pairs, size_of(record.files)))
    return compute_averages([item.manifest for item in finished if item.manifest is not None], rows, paired)
