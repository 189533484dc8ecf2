"""The sensor that lists the folder of dialogue files and requests runs for batches that changed."""

import json
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, fields, replace

import dagster as dg

from resources.corpus import CorpusResource
from resources.stores import open_store
from voice_assets.code_location import current_location
from voice_assets.defs.moshi.jobs import speak_job
from voice_assets.defs.moshi.partitions import ASSETS, NAME
from voice_assets.instance import add_partitions
from voice_assets.run_ownership import release_orphaned_runs
from voice_assets.run_queries import find_busy_partitions, read_last_built
from voice_assets.sensor_backoff import RunAttempt, filter_unresolved, select_due
from voice_core.fingerprint import fingerprint
from voice_core.moshi.build import SUFFIXES, assign_scripts
from voice_core.settings import Settings
from voice_core.storage.store import Store


@dataclass(frozen=True, slots=True)
class DialogueCursor:
    """The state of the sensor between two ticks.

    `listing_fingerprint` is the listing that was assigned, `pending` one that was seen once: a file that is still
    being copied changes it. `unread_versions` has the versions of batches that no run has read yet, `runs` what was
    requested.
    """

    listing_fingerprint: str = ""
    pending: str = ""
    unread_versions: dict[str, str] = field(default_factory=dict)
    runs: dict[str, RunAttempt] = field(default_factory=dict)

    @classmethod
    def from_json(cls, cursor: str | None) -> "DialogueCursor":
        """
        >>> message = DialogueCursor("a", "b", {"talks/batch-0001": "v"}, {"talks/batch-0001": RunAttempt("v", 1.5, 2)})
        >>> DialogueCursor.from_json(message.to_json()) == message
        True
        >>> DialogueCursor.from_json(None) == DialogueCursor()
        True
        >>> DialogueCursor.from_json('{"sight": "x"}') == DialogueCursor()  # of an earlier version
        True
        """
        value = json.loads(cursor or "{}")
        if value.keys() != {item.name for item in fields(cls)}:
            return cls()
        runs = {key: RunAttempt(**item) for key, item in value.pop("runs").items()}
        return cls(**value, runs=runs)

    def to_json(self) -> str:
        return json.dumps(asdict(self), ensure_ascii=False)


def compute_listing_version(scripts: Store) -> str:
    """A fingerprint that changes whenever a dialogue file does."""
    found = [(item.key, item.identity) for item in scripts.listing() if item.key.endswith(SUFFIXES)]
    return fingerprint(sorted(found))


def read_dialogue_versions(instance: dg.DagsterInstance, keys: Iterable[str]) -> dict[str, str]:
    """The version of the scripts of each batch that a run read last."""
    found: dict[str, str] = {}
    for key in keys:
        wanted = dg.AssetRecordsFilter(asset_key=dg.AssetKey("dialogues"), asset_partitions=[key])
        for record in instance.fetch_materializations(wanted, limit=1).records:
            event = record.asset_materialization
            found[key] = (event.tags or {}).get("dagster/data_version", "") if event else ""
    return found


def new_dialogues_sensor(settings: Settings, status: dg.DefaultSensorStatus) -> dg.SensorDefinition:
    @dg.sensor(
        name="new_dialogues",
        job=speak_job,
        minimum_interval_seconds=settings.automation.sensor_interval_sec,
        default_status=status,
        description="Lists VOICE_MOSHI__SCRIPTS_URL, assigns dialogues to batches once two ticks have seen the same "
        "files, and requests runs of the batches that changed. A batch that failed is requested again after 15 minutes "
        "or more.",
    )
    def new_dialogues(context: dg.SensorEvaluationContext, corpus: CorpusResource) -> dg.SensorResult | dg.SkipReason:
        given = corpus.settings
        if not given.moshi.scripts_url:
            return dg.SkipReason("VOICE_MOSHI__SCRIPTS_URL is not set: there is no folder of dialogue files")
        release_orphaned_runs(context.instance)  # a batch of a killed run would count as in progress
        memory, message = _check_scripts(context, corpus, DialogueCursor.from_json(context.cursor))
        return _request_runs(context, memory, message, given, time.time())

    return new_dialogues


def _check_scripts(
    context: dg.SensorEvaluationContext, corpus: CorpusResource, memory: DialogueCursor
) -> tuple[DialogueCursor, str]:
    """The cursor after listing the folder, and a message. Partitions that Dagster does not have yet are added."""
    given = corpus.settings
    scripts = open_store(given.moshi.scripts_url, given, untrusted=True)
    seen = compute_listing_version(scripts)
    if seen == memory.listing_fingerprint:
        return replace(memory, pending=""), "no dialogue file has changed"
    if seen != memory.pending:
        return replace(
            memory, pending=seen
        ), "dialogue files are changing; they are assigned once two ticks have seen the same files"
    assigned = assign_scripts(scripts, corpus.work(), given)
    news = {str(item): version for item, version in assigned.versions.items()}
    add_partitions(context.instance, NAME, sorted(news))
    message = (
        f"{assigned.dialogues} dialogues in {len(news)} batches, {assigned.new} new, {assigned.removed} removed, "
        f"{assigned.bad_lines} invalid lines"
    )
    return replace(memory, listing_fingerprint=seen, pending="", unread_versions=news), message


def _request_runs(
    context: dg.SensorEvaluationContext, memory: DialogueCursor, message: str, settings: Settings, now: float
) -> dg.SensorResult:
    """The runs for batches that changed, up to the limit of a tick; as `new_recordings` requests them."""
    instance = context.instance
    read = read_dialogue_versions(instance, memory.unread_versions)
    news = {key: version for key, version in memory.unread_versions.items() if read.get(key) != version}
    busy: set[str] = set()
    if news or memory.runs:
        busy = find_busy_partitions(instance, instance.get_dynamic_partitions(NAME), ASSETS, [speak_job.name])
    built = read_last_built(instance, memory.runs.keys() - busy, "moshi_shards")
    asked = filter_unresolved(memory.runs, news, busy, built)
    wanted = select_due(asked, news, busy, now)
    chosen = list(wanted)[: settings.automation.max_runs_per_tick]
    asked |= {key: wanted[key] for key in chosen}
    message += f"; requested {len(chosen)} batches, {len(wanted) - len(chosen)} wait for the next tick"
    context.log.info(message)
    return dg.SensorResult(
        run_requests=[
            dg.RunRequest(fingerprint(key, wanted[key].listing_fingerprint, now), partition_key=key) for key in chosen
        ],
        skip_reason=None if chosen else message,
        cursor=replace(memory, unread_versions=news, runs=asked).to_json(),
    )


@dg.definitions
def definitions() -> dg.Definitions:
    location = current_location()
    wanted = "speak" in location.steps
    return dg.Definitions(sensors=[new_dialogues_sensor(location.settings, location.sensor_status)] if wanted else [])
