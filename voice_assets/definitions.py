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
from voice_assets.defs.voice_dataset.automation import follow_up_sensor, make_freshness_policy
from voice_assets.defs.voice_dataset.failure_sensor import failures_sensor
from voice_assets.defs.voice_dataset.jobs import JOBS, is_buildable
from voice_assets.defs.voice_dataset.multi_partition import build_multi_asset
from voice_assets.defs.voice_dataset.published import published_dataset
from voice_assets.defs.voice_dataset.sensors import new_recordings_sensor
from voice_core.codecs import codec_settings
from voice_core.compute.gpus import load_gpu_profile
from voice_core.settings import Settings, StepName

STEPS: tuple[StepName, ...] = ("ingest", "encode", "write", "speak")
FRESHNESS_KEYS = {dg.AssetKey(name) for name in ("voice_dataset", "voice_pairs", "dataset_card")}


def encoding_pool(settings: Settings) -> str | None:
    """The pool of the encoding step: that of the settings, for a codec that needs a GPU.

    Raises ConfigurationError for a pool without a profile, and for a precision that its GPUs do not compute in.
    """
    own = codec_settings(settings)
    pool = str(getattr(own, "pool", ""))
    if not pool:
        return None
    load_gpu_profile(pool, settings.gpu_profiles).choose_precision(getattr(own, "precision", ""))
    return pool


def speech_pool(settings: Settings) -> str | None:
    """The pool of the speaking step. Raises ConfigurationError for one that there is not."""
    return load_gpu_profile(settings.speech.pool, settings.gpu_profiles).pool if settings.speech.pool else None


def build_definitions(
    settings: Settings,
    steps: Collection[StepName] = STEPS,
    *,
    codec: str = "",
    neucodec: NeuCodecResource | None = None,
) -> dg.Definitions:
    """All of it, with the groups, times and limits of these settings; or what belongs to some of the steps.

    What other steps make stands in the graph, to be built elsewhere. `codec` and `neucodec` overrule the
    settings in runs, too.
    """
    pool = encoding_pool(settings) if "encode" in steps else None
    batches = settings.automation.partitions_per_run
    on = settings.automation.enabled
    status = dg.DefaultSensorStatus.RUNNING if on else dg.DefaultSensorStatus.STOPPED
    policy = make_freshness_policy(settings)
    # Three numbers, and not only since rows are quicker: Dagster puts assets of equal policies into one run. There the
    # rows of one batch would wait for the codes of another, and one that cannot be cut would keep all others from being
    # encoded: from a run over many batches Dagster gets events, no outputs, so that it skips what comes after. A run
    # that encodes takes more batches than one that cuts, to wait for a GPU once for all.
    step_assets: dict[StepName, list[dg.AssetsDefinition]] = {
        "ingest": [build_multi_asset("ingest", assets.INGEST_STAGE, batches_per_run=batches)],
        "encode": [build_multi_asset("encode", assets.ENCODE_STAGE, batches_per_run=batches * 2, pool=pool)],
        "write": [
            build_multi_asset("write", assets.ROWS_STAGE, batches_per_run=batches * 4),
            assets.dataset_splits,
            assets.dataset_card,
            published_dataset,
        ],
    }
    built = [item for step in STEPS if step in steps for item in step_assets.get(step, ())]
    here = {spec.key for item in built for spec in item.specs}
    read = {dep.asset_key for item in built for spec in item.specs for dep in spec.deps}
    elsewhere = [
        item.external_spec for item in (*assets.INGEST_STAGE, *assets.ENCODE_STAGE) if item.spec.key in read - here
    ]
    scheduled_jobs = schedules.select_jobs(steps)
    speaks = "speak" in steps
    moshi_assets = [dialogues, moshi_shards_asset(speech_pool(settings)), moshi_dataset] if speaks else []
    moshi_jobs = [speak_job, lists_job] if speaks else []
    moshi_sensors = [new_dialogues_sensor(settings, status)] if speaks else []
    return dg.Definitions(
        assets=[
            *dg.map_asset_specs(
                lambda spec: spec.replace_attributes(freshness_policy=policy) if spec.key in FRESHNESS_KEYS else spec,
                built,
            ),
            *elsewhere,
            *moshi_assets,
        ],
        jobs=[*(job for job in JOBS if is_buildable(job.name, here)), *scheduled_jobs, *moshi_jobs],
        sensors=[
            *([new_recordings_sensor(settings, status)] if "ingest" in steps else []),
            follow_up_sensor(settings, status),
            failures_sensor(settings, status),
            *moshi_sensors,
        ],
        schedules=schedules.make_schedules(
            settings,
            scheduled_jobs,
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
defs = build_definitions(_settings, _settings.steps or STEPS)
