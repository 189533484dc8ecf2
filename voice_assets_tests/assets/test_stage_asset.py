"""What every asset of a stage gets from `stage_asset`: its checks, errors without secrets, the run that holds a GPU."""

import dagster as dg
import pytest

from voice_assets.speech_stage import SpeechConfig
from voice_assets.stage_asset import stage_asset, stage_result
from voice_core.compute import gpu_lock
from voice_core.stages.checks import Findings, check


@check()
def is_even(number: int) -> Findings:
    """The number is even."""
    return Findings([f"{number} is odd"] if number % 2 else [], "1 number")


def asset(*, number: int = 2, error: str = "") -> dg.AssetsDefinition:
    @stage_asset(group="numbers", kinds={"json"}, code_version="7", checks=[is_even])
    def stage(context: dg.AssetExecutionContext, config: SpeechConfig) -> dg.MaterializeResult:
        """A number."""
        if error:
            raise ValueError(error)
        run = gpu_lock._run_id.get()
        return stage_result(f"v{number}", {"run": run, "workers": config.options().workers}, [is_even(number)])

    return stage


def materialise(definition: dg.AssetsDefinition) -> dg.ExecuteInProcessResult:
    config = {"ops": {"stage": {"config": {"workers": 3}}}}
    with dg.instance_for_test() as instance:
        return dg.materialize([definition], instance=instance, run_config=config, raise_on_error=False)


def test_an_asset_has_its_name_its_description_its_config_and_its_checks() -> None:
    definition = asset()
    [spec] = definition.specs
    assert (spec.key.to_user_string(), spec.description, spec.group_name, spec.code_version) == (
        "stage",
        "A number.",
        "numbers",
        "7",
    )
    assert [(item.name, item.blocking, item.description) for item in definition.check_specs] == [
        ("is_even", True, "The number is even.")
    ]
    result = materialise(definition)
    [event] = result.get_asset_materialization_events()
    assert event.materialization.metadata["workers"].value == 3
    assert event.materialization.metadata["run"].value == result.run_id
    assert event.materialization.tags is not None
    assert event.materialization.tags["dagster/data_version"] == "v2"


def test_a_failed_check_fails_the_run() -> None:
    result = materialise(asset(number=3))
    assert not result.success
    [outcome] = result.get_asset_check_evaluations()
    assert (outcome.passed, outcome.description) == (False, "3 is odd")


def test_the_event_log_has_errors_without_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STORE_PASSWORD", "correct-horse-battery")
    result = materialise(asset(error="refused: correct-horse-battery"))
    [event] = result.filter_events(lambda item: item.is_step_failure)
    assert "refused: " in str(event.event_specific_data)
    assert "correct-horse-battery" not in str(event.event_specific_data)
