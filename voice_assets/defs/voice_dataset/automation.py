"""When assets follow those before them by themselves, once automation is switched on.

News is a changed data version: what was built again and came out the same wakes nobody. What belongs to the whole
dataset waits until its inputs rest, so that a backfill of 300 batches deals the splits once and writes the card once.
"""

import datetime

import dagster as dg

from voice_core.settings import Settings

_Condition = dg.AutomationCondition

# An input changed in a run that did not build this asset too. Of a run over many batches Dagster (1.13) knows this for
# its last batch only; for the others, that this asset was built as well settles the news, unless it failed.
_DEP_CHANGED = _Condition.data_version_changed() & ~_Condition.executed_with_root_target()
_ANY_DEP_CHANGED = _Condition.any_deps_match(_DEP_CHANGED)
# The same, or an input is about to be built, and this asset in one run with it.
_UPDATE_PENDING = _Condition.any_deps_match(_DEP_CHANGED | _Condition.will_be_requested()).since_last_handled()
# For an asset of a step of its own the run before must have ended. Dagster would launch both runs at once: it takes
# what is requested in one tick for one run, and then parts it by the assets' backfill policies.
_UPDATE_PENDING_OWN_RUN = _ANY_DEP_CHANGED.since_last_handled() & ~_Condition.any_deps_match(
    _Condition.will_be_requested()
)
_IDLE = ~_Condition.any_deps_in_progress() & ~_Condition.in_progress()

# What failed in the run that built its input is not asked for at once and again: the sensor and the nightly build see
# to that. Without this, a batch that could not be cut was in two runs within seconds.
_RETRY_ALLOWED = ~_Condition.execution_failed() | _Condition.any_deps_match(_Condition.will_be_requested())

# A batch's asset: after its inputs, in one run with them where it can.
AFTER_INPUTS = (_UPDATE_PENDING & _RETRY_ALLOWED & ~_Condition.any_deps_missing() & _IDLE).with_label(
    "follows its inputs"
)

# Codes: a run of their own in the codec's pool, after the segments. Trouble with a GPU passes, so what failed is tried
# again every hour.
_HOURLY_RETRY = _Condition.cron_tick_passed("0 * * * *") & _Condition.execution_failed()
AFTER_SEGMENTS = ((_UPDATE_PENDING_OWN_RUN | _HOURLY_RETRY) & ~_Condition.any_deps_missing() & _IDLE).with_label(
    "follows the segments in a run of its own"
)

# The whole dataset's: once, when no input is being built or waits to be. Batches that are missing or failed do not
# hold it up; it is made of what is finished.
AFTER_INPUTS_IDLE = (_UPDATE_PENDING & _IDLE).with_label("follows when its inputs rest")

# The splits: the same, and not while a batch whose segments failed waits to be built again. What is held out once stays
# held out, so without that batch other recordings would be held out for good.
AFTER_INPUTS_SUCCEEDED = (
    _UPDATE_PENDING & ~_Condition.any_deps_match(_Condition.execution_failed()) & _IDLE
).with_label("follows when its inputs rest and none has failed")

# Rows: not before the splits know of the batch. What keeps a memory of its own stands first: Dagster evaluates the
# later parts of a conjunction only for what the earlier ones left.
_SPLITS_OUTDATED = _Condition.asset_matches("dataset_splits", _ANY_DEP_CHANGED.since(_Condition.newly_updated()))
AFTER_SPLITS = (~_SPLITS_OUTDATED & _UPDATE_PENDING_OWN_RUN & ~_Condition.any_deps_missing() & _IDLE).with_label(
    "follows the codes once the splits are dealt"
)


def make_freshness_policy(settings: Settings) -> dg.FreshnessPolicy:
    """How old the dataset may be before the UI shows it as overdue."""
    hours = settings.automation.fresh_within_hours
    return dg.FreshnessPolicy.time_window(
        fail_window=datetime.timedelta(hours=hours), warn_window=datetime.timedelta(hours=hours * 0.75)
    )


def follow_up_sensor(settings: Settings, status: dg.DefaultSensorStatus) -> dg.AutomationConditionSensorDefinition:
    return dg.AutomationConditionSensorDefinition(
        "follow_up",
        target=dg.AssetSelection.groups("voice_dataset", "moshi"),
        description="Builds what follows from assets that changed: segments, codes, splits, rows, the card, speech.",
        default_status=status,
        minimum_interval_seconds=settings.automation.sensor_interval_sec,
    )
