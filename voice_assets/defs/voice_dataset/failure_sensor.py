"""The sensor that writes down what failed; `voice failures` shows it."""

from pathlib import Path

import dagster as dg

from voice_assets.failure_records import build_failure_record, write_record
from voice_core.settings import Settings


def failures_sensor(settings: Settings, status: dg.DefaultSensorStatus) -> dg.SensorDefinition:
    @dg.run_failure_sensor(
        name="record_failures",
        default_status=status,
        minimum_interval_seconds=settings.automation.sensor_interval_sec,
        description="Writes what failed, where and why to failures.jsonl under DAGSTER_HOME, which "
        "`voice failures` shows.",
    )
    def record_failures(context: dg.RunFailureSensorContext) -> None:
        record = build_failure_record(
            context.instance,
            context.dagster_run,
            context.get_step_failure_events(),
            context.failure_event.message or "the run ended without a word",
            settings,
        )
        write_record(Path(context.instance.root_directory), record)

    return record_failures
