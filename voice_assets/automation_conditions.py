"""The automation conditions of the assets, and the freshness policy.

A change is a changed data version: an input that was built again with the same result triggers nothing. Assets of the
whole dataset wait until no input is in progress, so that a backfill of 300 batches assigns the splits once and writes
the card once.
"""

import datetime

import dagster as dg

from voice_core.settings import Settings

_Condition = dg.AutomationCondition

# An input changed in a run that did not also build this asset. Of a run over many batches Dagster (1.13) knows this for
# its last batch only; for the others, the change counts as handled once this asset was built too, unless it failed.
_DEP_CHANGED = _Condition.data_version_changed() & ~_Condition.executed_with_root_target()
_ANY_DEP_CHANGED = _Condition.any_deps_match(_DEP_CHANGED)
# The same, or an input is about to be built, and this asset in one run with it.
_UPDATE_PENDING = _Condition.any_deps_match(_DEP_CHANGED | _Condition.will_be_requested()).since_last_handled()
# For an asset with a step of its own, the run before must have ended. Dagster would launch both runs at once: it treats
# what is requested in one tick as one run, and then splits it by the assets' backfill policies.
_UPDATE_PENDING_OWN_RUN = _ANY_DEP_CHANGED.since_last_handled() & ~_Condition.any_deps_match(
    _Condition.will_be_requested()
)
_IDLE = ~_Condition.any_deps_in_progress() & ~_Condition.in_progress()

# An asset that failed in the run that built its input is not requested again at once: the sensor and the nightly
# schedule do that. Without this, a batch that could not be cut was in two runs within seconds.
_RETRY_ALLOWED = ~_Condition.execution_failed() | _Condition.any_deps_match(_Condition.will_be_requested())

# An asset of a batch: after its inputs, in one run with them where possible.
AFTER_INPUTS = (_UPDATE_PENDING & _RETRY_ALLOWED & ~_Condition.any_deps_missing() & _IDLE).with_label(
    "after its inputs"
)

# Codes: a separate run in the codec's pool, after the segments. GPU failures are often transient, so a failed batch
# is retried every hour.
_HOURLY_RETRY = _Condition.cron_tick_passed("0 * * * *") & _Condition.execution_failed()
AFTER_SEGMENTS = ((_UPDATE_PENDING_OWN_RUN | _HOURLY_RETRY) & ~_Condition.any_deps_missing() & _IDLE).with_label(
    "after the segments, in a separate run"
)

# Assets of the whole dataset: once no input is in progress or requested. Missing or failed batches do not block them;
# they are made of what is finished.
AFTER_INPUTS_IDLE = (_UPDATE_PENDING & _IDLE).with_label("after its inputs, once none is in progress")

# The splits: the same, and not while a batch whose segments failed waits to be built again. What is held out once stays
# held out, so without that batch other recordings would be held out for good.
AFTER_INPUTS_SUCCEEDED = (
    _UPDATE_PENDING & ~_Condition.any_deps_match(_Condition.execution_failed()) & _IDLE
).with_label("after its inputs, once none is in progress or failed")

# Rows: not before the splits include the batch. The operand with its own state comes first: Dagster evaluates the later
# operands of a conjunction only for what the earlier ones left.
_SPLITS_OUTDATED = _Condition.asset_matches("dataset_splits", _ANY_DEP_CHANGED.since(_Condition.newly_updated()))
AFTER_SPLITS = (~_SPLITS_OUTDATED & _UPDATE_PENDING_OWN_RUN & ~_Condition.any_deps_missing() & _IDLE).with_label(
    "after the codes, once the splits are assigned"
)


def make_freshness_policy(settings: Settings) -> dg.FreshnessPolicy:
    """The age at which the UI shows the dataset as overdue."""
    hours = settings.automation.fresh_within_hours
    return dg.FreshnessPolicy.time_window(
        fail_window=datetime.timedelta(hours=hours), warn_window=datetime.timedelta(hours=hours * 0.75)
    )
