"""Which runs bring the voice dataset up to date. Plain values in and out, no Dagster."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from voice_assets.sensor_backoff import group_runs
from voice_core.corpus.status import BuildStatus, PartitionStatus, StageState

INGEST_ASSETS = ("raw_audio", "segments")
ENCODE_ASSETS = ("coded_segments",)
ROW_ASSETS = ("voice_dataset", "voice_pairs")


@dataclass(frozen=True, slots=True)
class StaleRun:
    """A run that is to be requested: assets, and batches that follow one another, or none for the whole dataset."""

    assets: tuple[str, ...]
    batches: tuple[str, ...] = ()


def find_stale_assets(item: PartitionStatus, assets: Sequence[str]) -> list[str]:
    """The assets of a batch to build: the first that is not up to date, and those after it."""
    first = next((number for number, name in enumerate(assets) if not item.states[name].up_to_date), None)
    return [] if first is None else [name for name in assets[first:] if item.states[name] is not StageState.SKIPPED]


def plan_stale_runs(
    status: BuildStatus,
    order: Sequence[str],
    busy: Collection[str],
    busy_assets: Collection[str],
    batches_per_run: int,
) -> list[StaleRun]:
    """The runs that can start now: everything that is stale and whose inputs are up to date.

    What depends on these runs follows by its automation condition. A batch that fails does not delay the card. `order`
    has the partition keys in Dagster's order, `busy` those in a run, `busy_assets` the assets of the whole dataset that
    are in a run. A run that encodes takes twice as many batches as one that cuts, and one that writes rows four times
    as many, as in a backfill.
    """
    found: list[StaleRun] = []
    inputs: tuple[str, ...] = ()
    for assets, factor in ((INGEST_ASSETS, 1), (ENCODE_ASSETS, 2), (ROW_ASSETS, 4)):
        ready = assets is not ROW_ASSETS or (status.splits.up_to_date and "dataset_splits" not in busy_assets)
        todo = {
            str(item.partition): stale
            for item in status.partitions
            if ready
            and str(item.partition) not in busy
            and all(item.states[name].up_to_date for name in inputs)
            and (stale := find_stale_assets(item, assets))
        }
        groups = group_runs(todo, order, batches_per_run * factor)
        found += [StaleRun(tuple(wanted), tuple(keys)) for keys, wanted in groups]
        inputs += assets
    cut = all(item.states[name].up_to_date for item in status.partitions for name in INGEST_ASSETS)
    if not status.splits.up_to_date and cut and "dataset_splits" not in busy_assets:
        found.append(StaleRun(("dataset_splits",)))
    rewritten = any(run.assets[0] in (*ROW_ASSETS, "dataset_splits") for run in found)
    finished = any(all(state.up_to_date for state in item.states.values()) for item in status.partitions)
    if not status.card.up_to_date and finished and not rewritten and "dataset_card" not in busy_assets:
        found.append(StaleRun(("dataset_card",)))
    return found
