"""The sensor that looks at the raw bucket."""

import time
from collections.abc import Collection, Iterable, Sequence

import dagster as dg

from resources.corpus import CorpusResource
from voice_assets.defs.sensor_backoff import filter_unresolved, group_contiguous, read_cursor, select_due, write_cursor
from voice_assets.defs.voice_dataset.jobs import JOBS, ingest_job
from voice_assets.defs.voice_dataset.partitions import NAME, PARTITION, RANGE_END, RANGE_START
from voice_assets.instance import add_partitions
from voice_assets.run_ownership import release_orphaned_runs
from voice_core.corpus.ingest.discovery import Discovery, discover
from voice_core.corpus.status import ASSETS
from voice_core.fingerprint import fingerprint
from voice_core.settings import Settings

_UNFINISHED = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]
HEADER_BUDGET_SEC = 10.0  # a tick has 60 s in all, and a large bucket takes a good part of them to list


def new_recordings_sensor(settings: Settings, status: dg.DefaultSensorStatus) -> dg.SensorDefinition:
    @dg.sensor(
        name="new_recordings",
        job=ingest_job,
        minimum_interval_seconds=settings.automation.sensor_interval_sec,
        default_status=status,
        description="Looks at the raw bucket, assigns new recordings to batches, and asks for the batches in which "
        "something is new, changed or gone. A batch that failed is asked for again after a while.",
    )
    def new_recordings(context: dg.SensorEvaluationContext, corpus: CorpusResource) -> dg.SensorResult:
        release_orphaned_runs(context.instance)  # a batch of a run that was killed would count as being built
        found = discover(corpus.raw(), corpus.work(), corpus.settings, budget_sec=HEADER_BUDGET_SEC)
        return request_runs(context, found, corpus.settings, time.time())

    return new_recordings


def request_runs(
    context: dg.SensorEvaluationContext, found: Discovery, settings: Settings, now: float
) -> dg.SensorResult:
    """The runs for what was found, as many as a tick may ask for."""
    instance = context.instance
    known = instance.get_dynamic_partitions(NAME)
    order = add_partitions(instance, NAME, sorted(str(batch.partition) for batch in found.batches))
    busy = find_busy_partitions(instance, order, ASSETS, [job.name for job in JOBS])
    still_filling = found.partitions_to_fill()
    news = {
        str(batch.partition): found.listing_fingerprint(batch)
        for batch in found.batches
        if batch.partition in found.batch_changes and batch.partition not in still_filling
    }
    asked = read_cursor(context.cursor)
    asked = filter_unresolved(asked, news, busy, read_last_built(instance, asked.keys() - busy))
    wanted = select_due(asked, news, busy, now)
    groups = list(group_contiguous(wanted, order, settings.automation.partitions_per_run))
    chosen = groups[: settings.automation.max_runs_per_tick]
    for key in (key for group in chosen for key in group):
        asked[key] = wanted[key]
    requests = [_request(group, [wanted[key].listing_fingerprint for key in group], now) for group in chosen]
    message = _describe_tick(
        found, len(order) - len(known), chosen, sum(map(len, groups)) - sum(map(len, chosen)), len(busy)
    )
    context.log.info(message)
    return dg.SensorResult(
        run_requests=requests,
        skip_reason=None if requests else message,
        cursor=write_cursor(asked),
    )


def _request(group: Sequence[str], sights: Sequence[str], now: float) -> dg.RunRequest:
    run_key = fingerprint(list(group), list(sights), now)
    if len(group) == 1:
        return dg.RunRequest(run_key, partition_key=group[0])
    return dg.RunRequest(run_key, tags={RANGE_START: group[0], RANGE_END: group[-1]})


def _describe_tick(found: Discovery, opened: int, chosen: Sequence[Sequence[str]], left: int, busy: int) -> str:
    changes = found.batch_changes.values()
    parts = [
        f"{sum(len(batch.recordings) for batch in found.batches)} recordings in {len(found.batches)} batches",
        f"{found.new} new in {opened} new batches" if opened else f"{found.new} new",
        f"{sum(item.changed for item in changes)} changed",
        f"{sum(item.vanished for item in changes)} vanished",
        f"{len(found.pending)} waiting for their headers to be read",
    ]
    unreachable = sum(item.unreachable for item in changes)
    if unreachable:
        parts.append(f"{unreachable} that the store would not show")
    parts.append(f"asked for {len(chosen)} runs over {sum(map(len, chosen))} batches")
    if left:
        parts.append(f"{left} batches wait for the next tick")
    if busy:
        parts.append(f"{busy} batches are in runs")
    return ", ".join(parts)


def find_busy_partitions(
    instance: dg.DagsterInstance, order: Sequence[str], assets: Collection[str], jobs: Collection[str]
) -> set[str]:
    """The batches of one set of partitions that queued and running runs work on.

    `order` has the set's keys in Dagster's order. `assets` are those that it partitions, and `jobs` build them: batches
    of another set may have the same keys.
    """
    wanted = {dg.AssetKey(name) for name in assets}
    place = {key: number for number, key in enumerate(order)}
    busy: set[str] = set()
    for run in instance.get_runs(dg.RunsFilter(statuses=_UNFINISHED)):
        if not (run.asset_selection & wanted if run.asset_selection else run.job_name in jobs):
            continue
        if PARTITION in run.tags:
            busy.add(run.tags[PARTITION])
        elif run.tags.get(RANGE_START) in place and run.tags.get(RANGE_END) in place:
            busy.update(order[place[run.tags[RANGE_START]] : place[run.tags[RANGE_END]] + 1])
    return busy


def read_last_built(instance: dg.DagsterInstance, keys: Iterable[str], asset: str = "segments") -> dict[str, float]:
    """When each of these batches was last built to the end, in Unix time: what comes after `asset` is `follow_up`'s."""
    wanted: Collection[str] = sorted(keys)
    found: dict[str, float] = {}
    for key in wanted:
        filter = dg.AssetRecordsFilter(asset_key=dg.AssetKey(asset), asset_partitions=[key])
        for record in instance.fetch_materializations(filter, limit=1).records:
            found[key] = record.timestamp
    return found
