"""Questions to Dagster's record of runs that the sensors, schedules and commands of all pipelines ask."""

from collections.abc import Collection, Iterable, Mapping, Sequence

import dagster as dg

# Tags by which Dagster knows the partitions of a run.
PARTITION = "dagster/partition"
RANGE_START, RANGE_END = "dagster/asset_partition_range_start", "dagster/asset_partition_range_end"

PLANNED_RUNS = "planned_runs"  # metadata of an op that plans runs: their assets, and their first and last batch

STARTED_STATUSES = [
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]
UNFINISHED_STATUSES = [dg.DagsterRunStatus.QUEUED, *STARTED_STATUSES]


def format_run_partitions(tags: Mapping[str, str]) -> str:
    """The partitions of a run, from its tags.

    >>> format_run_partitions({RANGE_START: "news/batch-0001", RANGE_END: "news/batch-0009"})
    'news/batch-0001 to news/batch-0009'
    """
    first, last = tags.get(RANGE_START), tags.get(RANGE_END)
    return f"{first} to {last}" if first and last else tags.get(PARTITION, "")


def find_busy_partitions(
    instance: dg.DagsterInstance, order: Sequence[str], assets: Collection[str], jobs: Collection[str]
) -> set[str]:
    """The keys of one set of partitions that queued and running runs work on.

    `order` has the set's keys in Dagster's order. `assets` are those that it partitions, and `jobs` build them: another
    set of partitions may have the same keys.
    """
    wanted = {dg.AssetKey(name) for name in assets}
    place = {key: number for number, key in enumerate(order)}
    busy: set[str] = set()
    for run in instance.get_runs(dg.RunsFilter(statuses=UNFINISHED_STATUSES)):
        if not (run.asset_selection & wanted if run.asset_selection else run.job_name in jobs):
            continue
        if PARTITION in run.tags:
            busy.add(run.tags[PARTITION])
        elif run.tags.get(RANGE_START) in place and run.tags.get(RANGE_END) in place:
            busy.update(order[place[run.tags[RANGE_START]] : place[run.tags[RANGE_END]] + 1])
    return busy


def find_busy_assets(instance: dg.DagsterInstance, assets: Iterable[str], jobs: Mapping[str, str]) -> set[str]:
    """Those of these assets that a queued or running run is to build.

    `jobs` has the asset of each job that builds one of them: a run of a whole job has no selection of assets.
    """
    found: set[str] = set()
    for run in instance.get_runs(dg.RunsFilter(statuses=UNFINISHED_STATUSES)):
        if run.asset_selection:
            found |= {key.to_user_string() for key in run.asset_selection}
        elif run.job_name in jobs:
            found.add(jobs[run.job_name])
    return found & set(assets)


def read_planned_runs(instance: dg.DagsterInstance, run_id: str) -> list[tuple[list[str], list[str]]]:
    """The assets and the first and last batch of each run that a planning run found."""
    found: list[tuple[list[str], list[str]]] = []
    for record in instance.get_records_for_run(run_id, of_type=dg.DagsterEventType.STEP_OUTPUT).records:
        event = record.event_log_entry.dagster_event
        planned = event.step_output_data.metadata.get(PLANNED_RUNS) if event is not None else None
        if planned is not None and isinstance(planned.value, list):
            found += [(item["assets"], item["batches"]) for item in planned.value]
    return found


def read_last_built(instance: dg.DagsterInstance, keys: Iterable[str], asset: str) -> dict[str, float]:
    """When each of these partitions of an asset was last materialised, in Unix time."""
    found: dict[str, float] = {}
    for key in sorted(keys):
        wanted = dg.AssetRecordsFilter(asset_key=dg.AssetKey(asset), asset_partitions=[key])
        for record in instance.fetch_materializations(wanted, limit=1).records:
            found[key] = record.timestamp
    return found
