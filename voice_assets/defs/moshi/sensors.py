"""The sensor that looks at the folder of dialogue files, and the jobs that it asks for."""

import json

import dagster as dg

from resources.corpus import CorpusResource
from resources.stores import open_store
from voice_assets.defs.moshi.partitions import NAME, dialogue_batch
from voice_core.fingerprint import fingerprint
from voice_core.moshi.batching import script_key
from voice_core.moshi.building import SUFFIXES, deal_scripts
from voice_core.settings import Settings
from voice_core.store import Store

speak_job = dg.define_asset_job(
    "speak_dialogues",
    selection=dg.AssetSelection.assets("dialogues", "moshi_shards"),
    description="Dialogue scripts of one batch, spoken.",
)
lists_job = dg.define_asset_job(
    "finish_moshi",
    selection=dg.AssetSelection.assets("moshi_dataset"),
    description="The lists that Moshi fine-tuning reads.",
)


def sight(scripts: Store) -> str:
    """Changes whenever a dialogue file does."""
    found = [(item.key, item.identity) for item in scripts.listing() if item.key.endswith(SUFFIXES)]
    return fingerprint(sorted(found))


def new_dialogues_sensor(settings: Settings, status: dg.DefaultSensorStatus) -> dg.SensorDefinition:
    @dg.sensor(
        name="new_dialogues",
        job=speak_job,
        minimum_interval_seconds=settings.automation.sensor_interval_sec,
        default_status=status,
        description="Looks at VOICE_MOSHI__SCRIPTS_URL, deals dialogues to batches, and asks for those that changed.",
    )
    def new_dialogues(context: dg.SensorEvaluationContext, corpus: CorpusResource) -> dg.SensorResult | dg.SkipReason:
        given = corpus.settings
        if not given.moshi.scripts_url:
            return dg.SkipReason("VOICE_MOSHI__SCRIPTS_URL names no folder of dialogue files")
        scripts, work = open_store(given.moshi.scripts_url, given), corpus.work()
        before = json.loads(context.cursor or "{}")
        seen, asked = sight(scripts), before.get("asked", {})
        if before.get("sight") == seen:
            return dg.SkipReason("no dialogue file has changed")
        dealt = deal_scripts(scripts, work, given)
        keys = [str(partition) for partition in dealt.partitions]
        known = set(context.instance.get_dynamic_partitions(NAME))
        added = [key for key in keys if key not in known]
        versions = {str(item): work.hash(script_key(item)) for item in dealt.partitions}
        due = [key for key in keys if asked.get(key) != versions[key]]
        now = due[: given.automation.max_runs_per_tick]
        context.log.info(
            f"{dealt.dialogues} dialogues in {len(keys)} batches, {dealt.new} new, {dealt.bad_lines} lines that are "
            f"none; asked for {len(now)} batches, {len(due) - len(now)} wait for the next tick"
        )
        asked |= {key: versions[key] for key in now}
        return dg.SensorResult(
            run_requests=[dg.RunRequest(fingerprint(key, versions[key]), partition_key=key) for key in now],
            dynamic_partitions_requests=[dialogue_batch.build_add_request(added)] if added else [],
            cursor=json.dumps({"sight": seen if now == due else "", "asked": asked}),
        )

    return new_dialogues
