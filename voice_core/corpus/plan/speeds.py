"""Measured speeds of stages, and the wall time that planned work takes at them. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass

from voice_core.corpus.plan.estimates import Quantity


@dataclass(frozen=True, slots=True)
class SpeedMeasurement:
    """One run of a stage that had work to do. `device` is empty if the stage did not record it."""

    times_real_time: float  # seconds of audio per second
    wall_sec: float
    timestamp: float  # seconds since 1970
    host: str = ""
    device: str = ""


@dataclass(frozen=True, slots=True)
class Speed:
    """A speed to calculate with: measured on a host and device, or given by the user (`measurements` is 0)."""

    times_real_time: float
    measurements: int = 0
    host: str = ""
    device: str = ""

    def minutes(self, audio_sec: Quantity) -> Quantity:
        """Minutes of wall time for an amount of audio."""
        return audio_sec.scaled(1 / 60 / self.times_real_time, exact=False)


def summarise_speeds(measurements: Iterable[SpeedMeasurement]) -> list[Speed]:
    """One speed per host and device, the most recently measured first.

    >>> slow, fast = SpeedMeasurement(10.0, 60.0, 1.0, "a"), SpeedMeasurement(50.0, 1.0, 2.0, "a")
    >>> summarise_speeds([slow, fast, SpeedMeasurement(30.0, 9.0, 3.0, "b")])[1]
    Speed(times_real_time=10.0, measurements=2, host='a', device='')
    """
    places: dict[tuple[str, str], list[SpeedMeasurement]] = {}
    for item in sorted(measurements, key=lambda item: -item.timestamp):
        places.setdefault((item.host, item.device), []).append(item)
    return [Speed(median_speed(found), len(found), *place) for place, found in places.items()]


def median_speed(measurements: Iterable[SpeedMeasurement]) -> float:
    """The median speed, weighted by wall time, so that a run of a second does not outweigh one of hours.

    >>> measured = [(5.0, 1.0, 0.0), (60.0, 100.0, 0.0), (70.0, 90.0, 0.0)]
    >>> median_speed([SpeedMeasurement(*item) for item in measured])
    60.0
    """
    ordered = sorted(measurements, key=lambda item: item.times_real_time)
    half = sum(item.wall_sec for item in ordered) / 2
    for item in ordered:
        half -= item.wall_sec
        if half <= 0:
            return item.times_real_time
    raise ValueError("there are no measurements")
