"""Quantities that are exact or estimated, and the averages and measured speeds behind estimates. Pure."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import Field, dataclass
from typing import Any, ClassVar, Final, Self

from voice_core.corpus.manifest import Manifest

DEFAULT_KEPT_SHARE = 0.9
"""Share of cut segments that the rules keep: a cautious value for professionally recorded speech."""
DEFAULT_ROW_BYTES_PER_SEC = 28_000.0
"""Parquet bytes of the configs full and neutts per second of kept audio: 24 kHz FLAC in the demo's dataset."""
DEFAULT_PAIR_BYTES = 1_000.0
"""Parquet bytes of the config pairs per pair: two texts and the codes of about 3.5 s each, in the demo's dataset."""
SEGMENT_FILE_BYTES = 2_240
"""Bytes of a segment file besides its samples, codes and text: the headers of nine arrays and the zip directory."""
TEXT_REASONS = ("too_short", "too_long", "text_too_slow", "text_too_fast")
"""Reasons that follow from a line's times and text alone, before its audio is read."""

_BYTES_PER_SAMPLE = 2
_BYTES_PER_CODE = 4
_BYTES_PER_CHARACTER = 4  # numpy's strings


@dataclass(frozen=True, slots=True)
class Quantity:
    """A number and whether it is exact or an estimate. A value of zero counts as exact.

    >>> str(Quantity(1234.0)), str(Quantity(2.4, False) + Quantity(1)), str(Quantity(0.0, False))
    ('1,234', '≈ 3', '0')
    """

    value: float = 0.0
    exact: bool = True

    def __add__(self, other: "Quantity") -> "Quantity":
        return Quantity(self.value + other.value, (self.exact or not self.value) and (other.exact or not other.value))

    def scaled(self, factor: float, *, exact: bool = True) -> "Quantity":
        return Quantity(self.value * factor, self.exact and exact)

    def format(self, digits: int = 0, scale: float = 1.0) -> str:
        """The value divided by `scale`, with the sign ≈ if it is an estimate."""
        text = f"{round(self.value / scale, digits) + 0.0:,.{digits}f}"  # + 0.0: no minus before zero
        return text if self.exact or not self.value else f"≈ {text}"

    def __str__(self) -> str:
        return self.format()


ZERO: Final = Quantity()


def sum_quantities(quantities: Iterable[Quantity]) -> Quantity:
    return sum(quantities, ZERO)


class FieldwiseSum:
    """Mixin of dataclasses whose fields all support `+`: adds field by field."""

    __slots__ = ()
    __dataclass_fields__: ClassVar[dict[str, Field[Any]]]

    def __add__(self, other: Self) -> Self:
        return type(self)(*(getattr(self, name) + getattr(other, name) for name in self.__dataclass_fields__))


@dataclass(frozen=True, slots=True)
class DatasetAverages:
    """Averages that are assumed for audio that is not decoded yet; `basis` says where each comes from."""

    kept_share: float = DEFAULT_KEPT_SHARE  # of cut segments whose times and text pass the rules
    row_bytes_per_sec: float = DEFAULT_ROW_BYTES_PER_SEC
    pairs_per_row: float = 1.0
    pair_bytes: float = DEFAULT_PAIR_BYTES
    basis: tuple[str, ...] = ()


def compute_averages(
    segments: Sequence[Manifest], rows: Sequence[Manifest], pairs: Sequence[tuple[int, int, int]]
) -> DatasetAverages:
    """This dataset's own averages, from some of its committed manifests; `pairs` are (rows, pairs, bytes).

    Without any data, the defaults above are used, and `basis` says so.
    """
    judged = [
        entry
        for manifest in segments
        for entry in manifest.entries
        if entry.kept or entry.stage == "decode" or (entry.key and entry.reason not in TEXT_REASONS)
    ]
    kept_share, basis = DEFAULT_KEPT_SHARE, []
    if judged:
        kept_share = sum(entry.kept for entry in judged) / len(judged)
        basis.append(f"{kept_share:.1%} of new segments kept, as of {len(judged):,} of this dataset")
    else:
        basis.append(f"{kept_share:.0%} of new segments kept (a default: this dataset has none yet)")
    kept_sec = math.fsum(entry.duration_sec or 0.0 for manifest in rows for entry in manifest.kept())
    size = sum(item["size_bytes"] for manifest in rows for item in manifest.parameters.get("files", []))
    row_bytes = size / kept_sec if kept_sec else DEFAULT_ROW_BYTES_PER_SEC
    origin = "(as in this dataset)" if kept_sec else "(a default: this dataset has no rows yet)"
    basis.append(f"{row_bytes / 1000:,.1f} kB of Parquet a second of audio {origin}")
    of, count, taken = (sum(item[place] for item in pairs) for place in range(3))
    return DatasetAverages(
        kept_share,
        row_bytes,
        count / of if of else 1.0,
        taken / count if count else DEFAULT_PAIR_BYTES,
        tuple(basis),
    )


def segment_file_bytes(seconds: float, sample_rate_hz: int, characters: int) -> float:
    """Approximate bytes of a segment file without codes; `characters` counts those of all its texts."""
    return SEGMENT_FILE_BYTES + _BYTES_PER_CHARACTER * characters + _BYTES_PER_SAMPLE * seconds * sample_rate_hz


def codes_bytes(code_count: float) -> float:
    """Bytes that the codes add to a segment file."""
    return _BYTES_PER_CODE * code_count


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
