import dataclasses
import math

import pytest

from voice_core.corpus.manifest import Entry
from voice_core.corpus.segment.rules import RULES, apply_rules
from voice_core.settings import RuleSettings
from voice_core.stages.verdicts import Reject

GOOD = Entry(
    "line", "a", 0, text="Fine.", key="k", duration_sec=5.0, peak_dbfs=-3.0, rms_dbfs=-20.0, clipped_share=0.0,
    silence_share=0.2, snr_db=40.0, bandwidth_hz=11_000.0, chars_per_sec=12.0,
)  # fmt: skip
# Rule, measure, setting of the threshold, and the direction that is worse.
TABLE = [
    ("silent", "rms_dbfs", "min_rms_dbfs", -1),
    ("too_short", "duration_sec", "min_duration_sec", -1),
    ("too_long", "duration_sec", "max_duration_sec", 1),
    ("clipped", "clipped_share", "max_clipped_share", 1),
    ("mostly_silence", "silence_share", "max_silence_share", 1),
    ("noisy", "snr_db", "min_snr_db", -1),
    ("narrow_band", "bandwidth_hz", "min_bandwidth_hz", -1),
    ("text_too_slow", "chars_per_sec", "min_chars_per_sec", -1),
    ("text_too_fast", "chars_per_sec", "max_chars_per_sec", 1),
]


def test_every_rule_is_in_the_table_of_this_test() -> None:
    assert [rule.__name__ for rule in RULES] == [reason for reason, *_ in TABLE]
    thresholds = {setting for _, _, setting, _ in TABLE}
    assert thresholds == set(RuleSettings.model_fields)


def test_a_good_segment_is_kept_without_a_reason() -> None:
    done = apply_rules(GOOD.with_verdict(Reject("rules", "noisy", 1.0, 2.0, "of an earlier run")), RuleSettings())
    assert done == dataclasses.replace(GOOD, kept=True)


@pytest.mark.parametrize(("reason", "measure", "setting", "worse"), TABLE)
def test_a_rule_keeps_at_its_threshold_and_rejects_just_beyond_it_with_value_and_threshold(
    reason: str, measure: str, setting: str, worse: int
) -> None:
    threshold = {"clipped_share": 0.25, "silence_share": 0.5}.get(measure, getattr(RuleSettings(), setting))
    settings = RuleSettings(**{setting: threshold})
    assert apply_rules(dataclasses.replace(GOOD, **{measure: threshold}), settings).kept
    value = math.nextafter(threshold, worse * math.inf)
    done = apply_rules(dataclasses.replace(GOOD, **{measure: value}), settings)
    assert not done.kept
    assert (done.stage, done.reason, done.value, done.threshold) == ("rules", reason, value, threshold)


@pytest.mark.parametrize(("reason", "measure", "setting", "worse"), TABLE)
def test_a_measure_that_is_not_a_number_is_never_kept(reason: str, measure: str, setting: str, worse: int) -> None:
    assert not apply_rules(dataclasses.replace(GOOD, **{measure: math.nan}), RuleSettings()).kept


def test_the_first_rule_that_rejects_gives_the_reason() -> None:
    done = apply_rules(dataclasses.replace(GOOD, rms_dbfs=-80.0, snr_db=0.0, chars_per_sec=99.0), RuleSettings())
    assert done.reason == "silent"
