"""The sensor that lists the folder of dialogue files and requests runs for batches that changed."""

import dagster as dg

from voice_assets.code_location import current_location
from voice_assets.defs.moshi.jobs import speak_job
from voice_assets.defs.moshi.partitions import ASSETS, NAME
from voice_assets.inbox import Inbox, InboxPartitions, InboxTick, inbox_sensor
from voice_core.moshi.build import SUFFIXES, assign_scripts


def _assign(tick: InboxTick) -> tuple[dict[str, str], str]:
    assigned = assign_scripts(tick.folder, tick.corpus.work(), tick.corpus.settings)
    versions = {str(item): version for item, version in assigned.versions.items()}
    return versions, (
        f"{assigned.dialogues} dialogues in {len(versions)} batches, {assigned.new} new, "
        f"{assigned.removed} removed, {assigned.bad_lines} invalid lines"
    )


DIALOGUE_INBOX = Inbox(
    sensor="new_dialogues",
    description="Lists VOICE_MOSHI__SCRIPTS_URL, assigns dialogues to batches once two ticks have seen the same "
    "files, and requests runs of the batches that changed. A batch that failed is requested again after 15 minutes "
    "or more.",
    variable="VOICE_MOSHI__SCRIPTS_URL",
    url=lambda settings: settings.moshi.scripts_url,
    contents="dialogue files",
    noun="dialogue",
    suffixes=SUFFIXES,
    partitions=InboxPartitions(
        NAME,
        ASSETS,
        speak_job.name,
        last_asset="moshi_shards",
        first_asset="dialogues",
        version_of=lambda event: (event.tags or {}).get("dagster/data_version", ""),
    ),
    assign=_assign,
)


@dg.definitions
def definitions() -> dg.Definitions:
    location = current_location()
    if "speak" not in location.steps:
        return dg.Definitions()
    return dg.Definitions(sensors=[inbox_sensor(DIALOGUE_INBOX, location.settings, location.sensor_status)])
