"""The sensor that lists the folder of dialogue files and requests runs for batches that changed."""

import dagster as dg

from voice_assets.defs.moshi.jobs import speak_job
from voice_assets.defs.moshi.partitions import ASSETS, DIALOGUE_BATCH
from voice_assets.inbox import Inbox, InboxPartitions, InboxTick, inbox_definitions
from voice_core.moshi.build import DIALOGUE_SUFFIXES, assign_scripts


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
    suffixes=DIALOGUE_SUFFIXES,
    partitions=InboxPartitions(
        DIALOGUE_BATCH,
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
    return inbox_definitions(DIALOGUE_INBOX, step="speak")
