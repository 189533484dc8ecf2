"""Jobs: what `voice build` runs, and what a sensor, a schedule, a backfill or CI launches by name."""

from collections.abc import Collection

import dagster as dg

_ASSETS = {
    "ingest_batch": ("raw_audio", "segments"),
    "encode_batch": ("coded_segments",),
    "deal_splits": ("dataset_splits",),
    "write_rows": ("voice_dataset", "voice_pairs"),
    "finish_dataset": ("dataset_card",),
    "publish": ("published_dataset",),
}

ingest_job = dg.define_asset_job(
    "ingest_batch",
    selection=_ASSETS["ingest_batch"],
    description="Recordings of one batch, or of a range of them, to segments.",
)
encode_job = dg.define_asset_job(
    "encode_batch",
    selection=_ASSETS["encode_batch"],
    description="Segments of one batch, or of a range of them, to codes; in the codec's pool.",
)
splits_job = dg.define_asset_job(
    "deal_splits",
    selection=_ASSETS["deal_splits"],
    description="Deal all recordings to train and test.",
)
rows_job = dg.define_asset_job(
    "write_rows",
    selection=_ASSETS["write_rows"],
    description="Dataset rows and pairs of one batch, or of a range of them.",
)
card_job = dg.define_asset_job(
    "finish_dataset",
    selection=_ASSETS["finish_dataset"],
    description="The card over everything that is finished.",
)
publish_job = dg.define_asset_job(
    "publish",
    selection=_ASSETS["publish"],
    description="The finished dataset to the Hugging Face hub.",
)
JOBS = (ingest_job, encode_job, splits_job, rows_job, card_job, publish_job)


def is_buildable(job: str, assets: Collection[dg.AssetKey]) -> bool:
    """Whether all that a job of these builds is among `assets`."""
    return all(dg.AssetKey(name) in assets for name in _ASSETS[job])
