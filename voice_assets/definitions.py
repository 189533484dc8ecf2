"""Everything in one code location: the embedded default."""

import dagster as dg

from resources.corpus import CorpusResource
from voice_assets.defs.voice_dataset import assets
from voice_assets.defs.voice_dataset.jobs import JOBS

defs = dg.Definitions(
    assets=dg.load_assets_from_modules([assets]),
    jobs=JOBS,
    resources={"corpus": CorpusResource()},
)
