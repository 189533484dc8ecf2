"""Everything in one code location: the embedded default."""

import dagster as dg

from resources.corpus import CorpusResource
from resources.stores import cloud_resources
from voice_assets.defs.voice_dataset import assets, schedules
from voice_assets.defs.voice_dataset.automation import follow_up_sensor, freshness
from voice_assets.defs.voice_dataset.chains import chain
from voice_assets.defs.voice_dataset.failures import failures_sensor
from voice_assets.defs.voice_dataset.jobs import JOBS
from voice_assets.defs.voice_dataset.published import published_dataset
from voice_assets.defs.voice_dataset.sensors import new_recordings_sensor
from voice_core.settings import Settings

FINAL = {dg.AssetKey(name) for name in ("voice_dataset", "voice_pairs", "dataset_card")}


def definitions(settings: Settings) -> dg.Definitions:
    """All of it, with the groups, times and limits of these settings."""
    batches = settings.automation.partitions_per_run
    on = settings.automation.enabled
    status = dg.DefaultSensorStatus.RUNNING if on else dg.DefaultSensorStatus.STOPPED
    times = schedules.schedules(settings, dg.DefaultScheduleStatus.RUNNING if on else dg.DefaultScheduleStatus.STOPPED)
    overdue = freshness(settings)
    built = [
        chain("ingest", assets.INGEST, batches_per_run=batches),
        # Rows are quicker. The number differs from the one above for another reason too: Dagster puts assets of equal
        # policies into one run, and the rows of one batch must not wait for the codes of another.
        chain("write", assets.ROWS, batches_per_run=batches * 4),
        assets.dataset_splits,
        assets.dataset_card,
        published_dataset,
    ]
    return dg.Definitions(
        assets=dg.map_asset_specs(
            lambda spec: spec.replace_attributes(freshness_policy=overdue) if spec.key in FINAL else spec, built
        ),
        jobs=[*JOBS, *schedules.JOBS],
        sensors=[
            new_recordings_sensor(settings, status),
            follow_up_sensor(settings, status),
            failures_sensor(settings, status),
        ],
        schedules=times,
        resources={"corpus": CorpusResource(**cloud_resources(settings))},
        # A step is a batch's work of minutes, on one core or on all: a process of its own would only cost time.
        executor=dg.in_process_executor,
    )


defs = definitions(Settings.load())
