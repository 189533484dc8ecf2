"""Jobs of the audiobooks, launched by their sensor, by `voice demo`, or by name."""

import dagster as dg

from voice_assets.code_location import current_location
from voice_assets.defs.audiobook.partitions import ASSETS

audiobook_job = dg.define_asset_job(
    "build_audiobook",
    selection=ASSETS,
    description="Reads, speaks, validates and masters one book.",
)


@dg.definitions
def definitions() -> dg.Definitions:
    return dg.Definitions(jobs=[audiobook_job] if "speak" in current_location().steps else [])
