"""Sensors, schedules, and what the Dagster UI shows about the assets."""

from typing import Annotated

from pydantic import Field, StringConstraints

from voice_core.settings.base import SettingsGroup

_OWNER = r"^(team:.+|[^@\s]+@[^@\s]+\.[^@\s]+)$"  # what Dagster accepts


class AutomationSettings(SettingsGroup):
    """What the Dagster daemon does automatically."""

    enabled: bool = Field(
        False, description="Whether sensors and schedules are started by default; if not, start them in the UI."
    )
    sensor_interval_sec: int = Field(60, ge=5, description="Interval at which sensors check the raw bucket, seconds.")
    max_runs_per_tick: int = Field(20, ge=1, description="Maximum number of runs that a sensor requests per tick.")
    partitions_per_run: int = Field(
        10, ge=1, description="Maximum number of batches that one run processes, one after another."
    )
    nightly: str = Field("0 3 * * *", description="When stale parts of the dataset are rebuilt, as a cron expression.")
    weekly_audit: str = Field(
        "0 5 * * 0", description="When the checksum of every committed file is verified, as a cron expression."
    )
    owners: list[Annotated[str, StringConstraints(pattern=_OWNER)]] = Field(
        [], description="Owners of the assets in the Dagster UI: e-mail addresses or team:NAME; none if empty."
    )
    timezone: str = Field("UTC", description="Time zone of the two schedules.")
    fresh_within_hours: float = Field(36.0, gt=0, description="An older dataset is shown as overdue in the UI, hours.")
