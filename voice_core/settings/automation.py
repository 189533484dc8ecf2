"""Sensors, schedules, and what the Dagster UI shows about the assets."""

from typing import Annotated

from pydantic import Field, StringConstraints

from voice_core.settings.base import SettingsGroup

_OWNER = r"^(team:.+|[^@\s]+@[^@\s]+\.[^@\s]+)$"  # what Dagster accepts


class AutomationSettings(SettingsGroup):
    """What the Dagster daemon does without a request, and for whom."""

    enabled: bool = Field(
        False, description="Whether sensors and schedules run from the start; else they are switched on in the UI."
    )
    sensor_interval_sec: int = Field(60, ge=5, description="How often the raw bucket is looked at, seconds.")
    max_runs_per_tick: int = Field(20, ge=1, description="Most runs that a tick of a sensor asks for.")
    partitions_per_run: int = Field(10, ge=1, description="Most batches that one run works on, one after another.")
    nightly: str = Field("0 3 * * *", description="When the dataset is brought up to date whatever happened, cron.")
    weekly_audit: str = Field("0 5 * * 0", description="When every committed file is read and its checksum compared.")
    owners: list[Annotated[str, StringConstraints(pattern=_OWNER)]] = Field(
        [], description="Owners of the assets in the Dagster UI: e-mail addresses or team:NAME; none if empty."
    )
    timezone: str = Field("UTC", description="Time zone of these two.")
    fresh_within_hours: float = Field(36.0, gt=0, description="A dataset that is older counts as overdue in the UI.")
