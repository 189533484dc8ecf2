"""Jobs of the Moshi pipeline, launched by its sensor, by `voice demo`, or by name."""

import dagster as dg

from voice_assets.code_location import current_location

speak_job = dg.define_asset_job(
    "speak_dialogues",
    selection=("dialogues", "moshi_shards"),
    description="Synthesises the dialogues of one batch.",
)
finish_job = dg.define_asset_job(
    "finish_moshi",
    selection=("moshi_dataset",),
    description="Writes the manifests that Moshi fine-tuning reads.",
)


@dg.definitions
def definitions() -> dg.Definitions:
    return dg.Definitions(jobs=[speak_job, finish_job] if "speak" in current_location().steps else [])
