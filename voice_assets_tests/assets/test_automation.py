"""What follows what, by Dagster's own evaluation of the conditions."""

import datetime
from collections.abc import Iterable

import dagster as dg
import pytest

from voice_assets.definitions import build_definitions
from voice_assets.defs.voice_dataset.partitions import CHANNEL_BATCH
from voice_core.settings import Settings

KEYS = [f"news/batch-{number:04d}" for number in range(1, 301)]
CHAIN = ("raw_audio", "segments", "coded_segments")


class AutomationHarness:
    """Ticks of the automation over an instance in which assets are said to be built."""

    def __init__(self, keys: list[str]) -> None:
        self.instance = dg.DagsterInstance.ephemeral()
        self.instance.add_dynamic_partitions(CHANNEL_BATCH, keys)
        self.defs = build_definitions(Settings())
        self.cursor = None

    def build(self, assets: Iterable[str], keys: Iterable[str | None], version: str) -> None:
        for key in keys:
            for asset in assets:
                tags = {"dagster/data_version": f"{version}-{asset}-{key}"}
                self.instance.report_runless_asset_event(dg.AssetMaterialization(asset, partition=key, tags=tags))

    def tick(self, later_min: float = 0.0) -> dict[str, list[str | None]]:
        """What would be built so many minutes from now, by asset."""
        now = datetime.datetime.now(datetime.UTC) + datetime.timedelta(minutes=later_min)
        result = dg.evaluate_automation_conditions(self.defs, self.instance, cursor=self.cursor, evaluation_time=now)
        self.cursor = result.cursor
        wanted: dict[str, list[str | None]] = {}
        for key in self.defs.resolve_asset_graph().materializable_asset_keys:
            if result.get_num_requested(key):
                asked = result.get_requested_partitions(key)
                wanted[key.to_user_string()] = sorted(asked, key=str)
        return wanted


@pytest.fixture
def automation() -> AutomationHarness:
    """Three finished batches, and a tick that has seen them."""
    made = AutomationHarness(KEYS[:3])
    made.tick()
    return made


def test_a_new_batch_is_followed_by_the_splits_then_its_rows_then_the_card(automation: AutomationHarness) -> None:
    automation.build(CHAIN, KEYS[:1], "1")
    assert automation.tick() == {"dataset_splits": [None]}
    automation.build(["dataset_splits"], [None], "1")
    assert automation.tick() == {"voice_dataset": KEYS[:1], "voice_pairs": KEYS[:1]}
    automation.build(["voice_dataset", "voice_pairs"], KEYS[:1], "1")
    assert automation.tick() == {"dataset_card": [None]}
    automation.build(["dataset_card"], [None], "1")
    assert automation.tick() == {}


def test_a_batch_that_was_cut_is_encoded_in_a_separate_run_and_then_written(automation: AutomationHarness) -> None:
    automation.build(["raw_audio"], KEYS[:1], "1")
    assert automation.tick() == {"segments": KEYS[:1]}
    automation.build(["segments"], KEYS[:1], "1")
    assert automation.tick() == {"coded_segments": KEYS[:1], "dataset_splits": [None]}
    automation.build(["dataset_splits"], [None], "1")
    automation.build(["coded_segments"], KEYS[:1], "1")
    assert automation.tick() == {"voice_dataset": KEYS[:1], "voice_pairs": KEYS[:1]}


def test_a_batch_that_is_cut_again_is_encoded_afterwards_and_not_meanwhile(automation: AutomationHarness) -> None:
    automation.build((*CHAIN, "voice_dataset", "voice_pairs"), KEYS[:3], "1")
    automation.build(["dataset_splits", "dataset_card"], [None], "1")
    for _ in range(2):
        automation.tick()
    automation.build(["raw_audio"], KEYS[:1], "2")
    assert automation.tick() == {"segments": KEYS[:1]}
    automation.build(["segments"], KEYS[:1], "2")
    assert automation.tick() == {"coded_segments": KEYS[:1], "dataset_splits": [None]}


def test_what_could_not_be_encoded_is_requested_every_hour(automation: AutomationHarness) -> None:
    automation.build(CHAIN[:2], KEYS[:2], "1")
    assert automation.tick()["coded_segments"] == KEYS[:2]
    job = automation.defs.resolve_job_def("encode_batch")  # fails: nothing was cut
    assert not job.execute_in_process(
        instance=automation.instance,
        partition_key=KEYS[1],
        asset_selection=[dg.AssetKey("coded_segments")],
        raise_on_error=False,
    ).success
    automation.build(["coded_segments"], KEYS[:1], "1")
    assert "coded_segments" not in automation.tick()
    assert automation.tick(later_min=60)["coded_segments"] == KEYS[1:2]
    assert "coded_segments" not in automation.tick(later_min=61)


def test_a_batch_with_an_unchanged_result_triggers_nothing(automation: AutomationHarness) -> None:
    everything = (*CHAIN, "voice_dataset", "voice_pairs")
    automation.build(everything, KEYS[:3], "1")
    automation.build(["dataset_splits", "dataset_card"], [None], "1")
    automation.tick()
    automation.build(CHAIN, KEYS[1:2], "1")
    assert automation.tick() == {}


def test_unchanged_splits_trigger_no_other_batch(automation: AutomationHarness) -> None:
    everything = (*CHAIN, "voice_dataset", "voice_pairs")
    automation.build(everything, KEYS[:3], "1")
    automation.build(["dataset_splits", "dataset_card"], [None], "1")
    for _ in range(2):
        automation.tick()
    automation.build(CHAIN, KEYS[1:2], "2")
    assert automation.tick() == {"dataset_splits": [None]}
    automation.build(["dataset_splits"], [None], "1")
    assert automation.tick() == {"voice_dataset": KEYS[1:2], "voice_pairs": KEYS[1:2]}


def test_changed_splits_trigger_every_batch(automation: AutomationHarness) -> None:
    automation.build((*CHAIN, "voice_dataset", "voice_pairs"), KEYS[:3], "1")
    automation.build(["dataset_splits", "dataset_card"], [None], "1")
    for _ in range(2):
        automation.tick()
    automation.build(["dataset_splits"], [None], "2")
    assert automation.tick() == {"voice_dataset": KEYS[:3], "voice_pairs": KEYS[:3]}


def test_a_batch_without_codes_delays_neither_the_splits_nor_the_rows_of_others(
    automation: AutomationHarness,
) -> None:
    automation.build(CHAIN[:2], KEYS[:1], "1")
    automation.build(CHAIN, KEYS[1:2], "1")
    assert automation.tick() == {"coded_segments": KEYS[:1], "dataset_splits": [None]}
    automation.build(["dataset_splits"], [None], "1")
    assert automation.tick()["voice_dataset"] == KEYS[1:2]


def test_three_hundred_batches_that_are_built_at_once_assign_the_splits_once() -> None:
    automation = AutomationHarness(KEYS)
    automation.tick()
    automation.build(CHAIN, KEYS, "1")
    assert automation.tick() == {"dataset_splits": [None]}
    assert automation.tick() == {}
    automation.build(["dataset_splits"], [None], "1")
    assert {name: len(keys) for name, keys in automation.tick().items()} == {"voice_dataset": 300, "voice_pairs": 300}
