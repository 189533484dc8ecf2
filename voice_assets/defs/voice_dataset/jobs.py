"""Jobs: what `voice build` runs, and what a backfill or CI can launch by name."""

import dagster as dg

from voice_assets.defs.voice_dataset.assets import (
    coded_segments,
    dataset_card,
    dataset_splits,
    raw_audio,
    segments,
    voice_dataset,
    voice_pairs,
)

ingest_job = dg.define_asset_job(
    "ingest_batch",
    selection=dg.AssetSelection.assets(raw_audio, segments, coded_segments),
    description="Recordings of one batch to coded segments.",
)
rows_job = dg.define_asset_job(
    "write_rows",
    selection=dg.AssetSelection.assets(voice_dataset, voice_pairs),
    description="Dataset rows and pairs of one batch.",
)
splits_job = dg.define_asset_job(
    "deal_splits",
    selection=dg.AssetSelection.assets(dataset_splits),
    description="Deal all recordings to train and test.",
)
card_job = dg.define_asset_job(
    "finish_dataset",
    selection=dg.AssetSelection.assets(dataset_card),
    description="The card over everything that is finished.",
)
JOBS = (ingest_job, splits_job, rows_job, card_job)
