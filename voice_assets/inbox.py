"""The sensors on folders of input files: what is new there is assigned to partitions, and runs are requested.

A pipeline declares its `Inbox`, of which `inbox_sensor` makes the sensor.
"""

import json
import logging
import time
from collections.abc import Callable, Collection, Iterable
from dataclasses import asdict, dataclass, field, fields, replace

import dagster as dg

from resources.corpus import CorpusResource
from resources.stores import open_store
from voice_assets.code_location import current_location
from voice_assets.instance import add_partitions
from voice_assets.run_ownership import release_orphaned_runs
from voice_assets.run_queries import find_busy_partitions, read_last_built
from voice_assets.sensor_backoff import RunAttempt, filter_unresolved, select_due
from voice_core.fingerprint import fingerprint
from voice_core.redaction import redact_raised_errors
from voice_core.settings import Settings, StepName
from voice_core.storage.store import Store


@dataclass(frozen=True, slots=True)
class InboxCursor:
    """The state of a sensor between two ticks.

    `listing_fingerprint` is the listing that was taken over, `pending` one that was seen once: a file that is still
    being copied changes it. `unread_versions` has the versions of partitions that no run has read yet, `runs` what was
    requested.
    """

    listing_fingerprint: str = ""
    pending: str = ""
    unread_versions: dict[str, str] = field(default_factory=dict)
    runs: dict[str, RunAttempt] = field(default_factory=dict)

    @classmethod
    def from_json(cls, cursor: str | None) -> "InboxCursor":
        """
        >>> message = InboxCursor("a", "b", {"talks/batch-0001": "v"}, {"talks/batch-0001": RunAttempt("v", 1.5, 2)})
        >>> InboxCursor.from_json(message.to_json()) == message
        True
        >>> InboxCursor.from_json(None) == InboxCursor()
        True
        >>> InboxCursor.from_json('{"sight": "x"}') == InboxCursor()  # of an earlier version
        True
        """
        value = json.loads(cursor or "{}")
        if value.keys() != {item.name for item in fields(cls)}:
            return cls()
        runs = {key: RunAttempt(**item) for key, item in value.pop("runs").items()}
        return cls(**value, runs=runs)

    def to_json(self) -> str:
        return json.dumps(asdict(self), ensure_ascii=False)


@dataclass(frozen=True, slots=True)
class InboxPartitions:
    """The partitions that an inbox fills: their set, the assets in it, the job that builds them, the asset whose
    materialisation completes it, the asset that reads the input, and the version of the input from its event."""

    name: str
    assets: Collection[str]
    job: str
    last_asset: str
    first_asset: str
    version_of: Callable[[dg.AssetMaterialization], str]


@dataclass(frozen=True, slots=True)
class InboxTick:
    """A tick of the sensor that has found a new listing: the folder, and the corpus whose partitions it fills."""

    folder: Store
    corpus: CorpusResource
    log: logging.Logger


@dataclass(frozen=True, slots=True)
class Inbox:
    """A folder of input files, and what a pipeline makes of it.

    `url` reads the folder from the settings, where `variable` is its environment variable; `contents` is what is in
    it, such as "books", and `noun` what one file is. `assign` runs once two ticks have seen the same files; it returns
    the version of the input of each partition, and a message.
    """

    sensor: str
    description: str
    variable: str
    url: Callable[[Settings], str]
    contents: str
    noun: str
    suffixes: tuple[str, ...]
    partitions: InboxPartitions
    assign: Callable[[InboxTick], tuple[dict[str, str], str]]


def inbox_sensor(inbox: Inbox, settings: Settings, status: dg.DefaultSensorStatus) -> dg.SensorDefinition:
    """The sensor that lists the folder of an inbox and requests runs of the partitions whose input changed."""

    @dg.sensor(
        name=inbox.sensor,
        job_name=inbox.partitions.job,
        minimum_interval_seconds=settings.automation.sensor_interval_sec,
        default_status=status,
        description=inbox.description,
    )
    @redact_raised_errors()
    def sensor(context: dg.SensorEvaluationContext, corpus: CorpusResource) -> dg.SensorResult | dg.SkipReason:
        given = corpus.settings
        if not inbox.url(given):
            return dg.SkipReason(f"{inbox.variable} is not set: there is no folder of {inbox.contents}")
        release_orphaned_runs(context.instance)  # a partition of a killed run would count as in progress
        folder = open_store(inbox.url(given), given, untrusted=True)

        def take_over() -> tuple[dict[str, str], str]:
            versions, message = inbox.assign(InboxTick(folder, corpus, context.log))
            add_partitions(context.instance, inbox.partitions.name, sorted(versions))
            return versions, message

        before = InboxCursor.from_json(context.cursor)
        cursor, message = check_listing(folder, inbox.suffixes, before, inbox.noun, take_over)
        limit = given.automation.max_runs_per_tick
        return request_changed(context, cursor, message, inbox.partitions, limit, time.time())

    return sensor


def inbox_definitions(inbox: Inbox, step: StepName) -> dg.Definitions:
    """The sensor of an inbox, in a code location that has the step of its pipeline."""
    location = current_location()
    if step not in location.steps:
        return dg.Definitions()
    return dg.Definitions(sensors=[inbox_sensor(inbox, location.settings, location.sensor_status)])


def compute_listing_version(folder: Store, suffixes: tuple[str, ...]) -> str:
    """A fingerprint that changes whenever a file with one of the suffixes does."""
    found = [(item.key, item.identity) for item in folder.listing() if item.key.lower().endswith(suffixes)]
    return fingerprint(sorted(found))


def check_listing(
    folder: Store,
    suffixes: tuple[str, ...],
    cursor: InboxCursor,
    noun: str,
    take_over: Callable[[], tuple[dict[str, str], str]],
) -> tuple[InboxCursor, str]:
    """The cursor after listing a folder, and a message. `take_over` runs once two ticks have seen the same files; it
    returns the version of the input of each partition, and a message."""
    seen = compute_listing_version(folder, suffixes)
    if seen == cursor.listing_fingerprint:
        return replace(cursor, pending=""), f"no {noun} file has changed"
    if seen != cursor.pending:
        return (
            replace(cursor, pending=seen),
            f"{noun} files are changing; they are assigned once two ticks have seen the same files",
        )
    versions, message = take_over()
    return replace(cursor, listing_fingerprint=seen, pending="", unread_versions=versions), message


def request_changed(
    context: dg.SensorEvaluationContext,
    cursor: InboxCursor,
    message: str,
    partitions: InboxPartitions,
    max_runs: int,
    now: float,
) -> dg.SensorResult:
    """The runs for partitions that changed, at most `max_runs` in a tick."""
    instance = context.instance
    read = _read_versions(instance, cursor.unread_versions, partitions)
    news = {key: version for key, version in cursor.unread_versions.items() if read.get(key) != version}
    busy: set[str] = set()
    if news or cursor.runs:
        keys = instance.get_dynamic_partitions(partitions.name)
        busy = find_busy_partitions(instance, keys, partitions.assets, [partitions.job])
    built = read_last_built(instance, cursor.runs.keys() - busy, partitions.last_asset)
    asked = filter_unresolved(cursor.runs, news, busy, built)
    wanted = select_due(asked, news, busy, now)
    chosen = list(wanted)[:max_runs]
    asked |= {key: wanted[key] for key in chosen}
    message += f"; requested {len(chosen)}, {len(wanted) - len(chosen)} wait for the next tick"
    context.log.info(message)
    return dg.SensorResult(
        run_requests=[
            dg.RunRequest(fingerprint(key, wanted[key].listing_fingerprint, now), partition_key=key) for key in chosen
        ],
        skip_reason=None if chosen else message,
        cursor=replace(cursor, unread_versions=news, runs=asked).to_json(),
    )


def _read_versions(instance: dg.DagsterInstance, keys: Iterable[str], partitions: InboxPartitions) -> dict[str, str]:
    """The version of the input of each partition that a run read last."""
    found: dict[str, str] = {}
    for key in keys:
        wanted = dg.AssetRecordsFilter(asset_key=dg.AssetKey(partitions.first_asset), asset_partitions=[key])
        for record in instance.fetch_materializations(wanted, limit=1).records:
            event = record.asset_materialization
            found[key] = partitions.version_of(event) if event else ""
    return found
