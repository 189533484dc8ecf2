"""The sensor that lists the folder of dialogue files and requests runs for batches that changed."""

import time

import dagster as dg

from resources.corpus import CorpusResource
from resources.stores import open_store
from voice_assets.code_location import current_location
from voice_assets.defs.moshi.jobs import speak_job
from voice_assets.defs.moshi.partitions import ASSETS, NAME
from voice_assets.inbox import InboxCursor, InboxPartitions, check_listing, request_changed
from voice_assets.instance import add_partitions
from voice_assets.run_ownership import release_orphaned_runs
from voice_core.moshi.build import SUFFIXES, assign_scripts
from voice_core.settings import Settings

_BATCHES = InboxPartitions(
    NAME,
    ASSETS,
    speak_job.name,
    last_asset="moshi_shards",
    first_asset="dialogues",
    version_of=lambda event: (event.tags or {}).get("dagster/data_version", ""),
)


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
        scripts = open_store(given.moshi.scripts_url, given, untrusted=True)

        def assign() -> tuple[dict[str, str], str]:
            assigned = assign_scripts(scripts, corpus.work(), given)
            versions = {str(item): version for item, version in assigned.versions.items()}
            add_partitions(context.instance, NAME, sorted(versions))
            return versions, (
                f"{assigned.dialogues} dialogues in {len(versions)} batches, {assigned.new} new, "
                f"{assigned.removed} removed, {assigned.bad_lines} invalid lines"
            )

        cursor, message = check_listing(scripts, SUFFIXES, InboxCursor.from_json(context.cursor), "dialogue", assign)
        return request_changed(context, cursor, message, _BATCHES, given.automation.max_runs_per_tick, time.time())

    return new_dialogues


@dg.definitions
def definitions() -> dg.Definitions:
    location = current_location()
    wanted = "speak" in location.steps
    return dg.Definitions(sensors=[new_dialogues_sensor(location.settings, location.sensor_status)] if wanted else [])
