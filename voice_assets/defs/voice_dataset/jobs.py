"""Jobs: what `voice build` runs, and what a sensor, a schedule, a backfill or CI launches by name."""

import dagster as dg

ingest_job = dg.define_asset_job(
    "ingest_batch",
    selection=dg.AssetSelection.assets("raw_audio", "segments"),
    description="Recordings of one batch, or of a range of them, to segments.",
)
encode_job = dg.define_asset_job(
    "encode_batch",
    selection=dg.AssetSelection.assets("coded_segments"),
    description="Segments of one batch, or of a range of them, to codes; in the codec's pool.",
)
rows_job = dg.define_asset_job(
    "write_rows",
    selection=dg.AssetSelection.assets("voice_dataset", "voice_pairs"),
    description="Dataset rows and pairs of one batch, or of a range of them.",
)
splits_job = dg.define_asset_job(
    "deal_splits",
    selection=dg.AssetSelection.assets("dataset_splits"),
    description="Deal all recordings to train and test.",
)
card_job = dg.define_asset_job(
    "finish_dataset",
    selection=dg.AssetSelection.assets("dataset_card"),
    description="The card over everything that is finished.",
)
publish_job = dg.define_asset_job(
    "publish",
    selection=dg.AssetSelection.assets("published_dataset"),
    description="The finished dataset to the Hugging Face hub.",
)
JOBS = (ingest_job, encode_job, splits_job, rows_job, card_job, publish_job)
