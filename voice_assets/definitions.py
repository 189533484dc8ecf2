"""Everything in one code location: the embedded default."""

from collections.abc import Collection

import dagster as dg

from resources.corpus import CorpusResource
from resources.neucodec import NeuCodecResource
from resources.speech import SpeechResource
from resources.stores import cloud_resources
from voice_assets.concurrency_wait import PoolWatch
from voice_assets.defs.moshi.assets import dialogues, moshi_dataset, moshi_shards_asset
from voice_assets.defs.moshi.sensors import lists_job, new_dialogues_sensor, speak_job
from voice_assets.defs.voice_dataset import assets, schedules
from voice_assets.defs.voice_dataset.automation import follow_up_sensor, freshness
from voice_assets.defs.voice_dataset.failures import failures_sensor
from voice_assets.defs.voice_dataset.jobs import JOBS, buildable
from voice_assets.defs.voice_dataset.multi_partition import chain
from voice_assets.defs.voice_dataset.published import published_dataset
from voice_assets.defs.voice_dataset.sensors import new_recordings_sensor
from voice_core.compute.gpus import profile
from voice_core.settings import Settings, Step

STEPS: tuple[Step, ...] = ("ingest", "encode", "write", "speak")
FINAL = {dg.AssetKey(name) for name in ("voice_dataset", "voice_pairs", "dataset_card")}


def pool_of(settings: Settings) -> str | None:
    """The pool of the encoding step: that of the settings, for a codec that needs a GPU.

    Raises ConfigurationError for a pool without a profile, and for a precision that its GPUs do not compute in.
    """
    if settings.codec != "neucodec" or not settings.neucodec.pool:
        return None
    profile(settings.neucodec.pool, settings.gpu_profiles).choose(settings.neucodec.precision)
    return settings.neucodec.pool


def pool_of_speech(settings: Settings) -> str | None:
    """The pool of the speaking step. Raises ConfigurationError for one that there is not."""
    return profile(settings.speech.pool, settings.gpu_profiles).pool if settings.speech.pool else None


def definitions(
    settings: Settings, steps: Collection[Step] = STEPS, *, codec: str = "", neucodec: NeuCodecResource | None = None
) -> dg.Definitions:
    """All of it, with the groups, times and limits of these settings; or what belongs to some of the steps.

    What other steps make stands in the graph, to be built elsewhere. `codec` and `neucodec` overrule the
    settings in runs, too.
    """
    pool = pool_of(settings) if "encode" in steps else None
    batches = settings.automation.partitions_per_run
    on = settings.automation.enabled
    status = dg.DefaultSensorStatus.RUNNING if on else dg.DefaultSensorStatus.STOPPED
    overdue = freshness(settings)
    # Three numbers, and not only since rows are quicker: Dagster puts assets of equal policies into one run. There the
    # rows of one batch would wait for the codes of another, and one that cannot be cut would keep all others from being
    # encoded: from a run over many batches Dagster gets events, no outputs, so that it skips what comes after. A run
    # that encodes takes more batches than one that cuts, to wait for a GPU once for all.
    step_assets: dict[Step, list[dg.AssetsDefinition]] = {
        "ingest": [chain("ingest", assets.INGEST, batches_per_run=batches)],
        "encode": [chain("encode", assets.ENCODE, batches_per_run=batches * 2, pool=pool)],
        "write": [
            chain("write", assets.ROWS, batches_per_run=batches * 4),
            assets.dataset_splits,
            assets.dataset_card,
            published_dataset,
        ],
    }
    built = [item for step in STEPS if step in steps for item in step_assets.get(step, ())]
    here = {spec.key for item in built for spec in item.specs}
    read = {dep.asset_key for item in built for spec in item.specs for dep in spec.deps}
    elsewhere = [item.elsewhere for item in (*assets.INGEST, *assets.ENCODE) if item.spec.key in read - here]
    nightly_and_weekly = schedules.jobs(steps)
    speaks = "speak" in steps
    moshi_assets = [dialogues, moshi_shards_asset(pool_of_speech(settings)), moshi_dataset] if speaks else []
    moshi_jobs = [speak_job, lists_job] if speaks else []
    moshi_sensors = [new_dialogues_sensor(settings, status)] if speaks else []
    return dg.Definitions(
        assets=[
            *dg.map_asset_specs(
                lambda spec: spec.replace_attributes(freshness_policy=overdue) if spec.key in FINAL else spec, built
            ),
            *elsewhere,
            *moshi_assets,
        ],
        jobs=[*(job for job in JOBS if buildable(job.name, here)), *nightly_and_weekly, *moshi_jobs],
        sensors=[
            *([new_recordings_sensor(settings, status)] if "ingest" in steps else []),
            follow_up_sensor(settings, status),
            failures_sensor(settings, status),
            *moshi_sensors,
        ],
        schedules=schedules.schedules(
            settings,
            nightly_and_weekly,
            dg.DefaultScheduleStatus.RUNNING if on else dg.DefaultScheduleStatus.STOPPED,
        ),
        resources={
            "corpus": CorpusResource(**cloud_resources(settings), codec=codec, neucodec=neucodec or NeuCodecResource()),
            "pool_watch": PoolWatch(),
            "speech": SpeechResource(),
        },
        # A step is a batch's work of minutes, on one core or on all: a process of its own would only cost time.
        executor=dg.in_process_executor,
    )


_settings = Settings.load()
defs = definitions(_settings, _settings.steps or STEPS)
