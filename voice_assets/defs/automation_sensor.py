"""The sensor that evaluates the automation conditions of all assets."""

import dagster as dg

from voice_assets.code_location import current_location


@dg.definitions
def definitions() -> dg.Definitions:
    location = current_location()
    sensor = dg.AutomationConditionSensorDefinition(
        "automation_sensor",
        target=dg.AssetSelection.all(),
        description="Requests runs of assets whose inputs changed, by the assets' automation conditions: segments, "
        "codes, splits, rows, the card, dialogue shards.",
        default_status=location.sensor_status,
        minimum_interval_seconds=location.settings.automation.sensor_interval_sec,
    )
    return dg.Definitions(sensors=[sensor])
