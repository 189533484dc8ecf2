"""Measured speeds of the stages of the voice dataset, and the time that a planned build would take at them.

Speeds are read from the metadata of the stages' materialisations.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache

import dagster as dg

from voice_assets.run_ownership import HOST_TAG
from voice_core.codecs import codec_device, codec_pool
from voice_core.codecs.base import Codec
from voice_core.corpus.plan.build_plan import BuildPlan
from voice_core.corpus.plan.estimates import Quantity, Speed, SpeedMeasurement, sum_quantities, summarise_speeds
from voice_core.settings import Settings

CUT_LABEL, ENCODE_LABEL, WRITE_LABEL = "decode and cut", "encode", "write rows"
MAX_MATERIALISATIONS = 200
"""The number of an asset's last materialisations that are read."""
DEVICE_METADATA = "device"
"""Metadata of coded_segments if anything was encoded: the device, such as "cpu" or "cuda: NVIDIA H200"."""

MetadataValues = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class StageEta:
    """One stage: the audio that it processes, and the measured speeds, the most recent host first.

    `expected` is the unit if no device was measured. `note` says what to do if there is no speed.
    """

    stage: str
    expected: str
    audio_sec: Quantity
    speeds: tuple[Speed, ...] = ()
    note: str = ""

    @property
    def unit(self) -> str:
        """The unit of the minutes at the first speed."""
        return self.unit_of(self.speeds[0]) if self.speeds else self.expected

    def unit_of(self, speed: Speed) -> str:
        """The unit of the minutes at one of the speeds, by its device."""
        return _unit(speed.device) if speed.device else self.expected

    @property
    def minutes(self) -> Quantity | None:
        """Wall time at the first speed; None if there is work, but no speed."""
        if not self.audio_sec.value:
            return Quantity()
        return self.speeds[0].minutes(self.audio_sec) if self.speeds else None


def expected_encoding_unit(settings: Settings) -> str:
    """The unit of encoding without a measurement: GPU minutes if a pool or device of a GPU is set, else CPU minutes."""
    device = codec_device(settings)
    if device == "auto" and not codec_pool(settings):
        return _unit("cpu")
    return _unit(device)


def _unit(device: str) -> str:
    """
    >>> _unit("cpu"), _unit("cuda: NVIDIA H200")
    ('CPU minutes', 'GPU minutes')
    """
    return "CPU minutes" if device.partition(":")[0] == "cpu" else "GPU minutes"


def estimate_stage_times(
    plan: BuildPlan,
    codec: Codec | None,
    settings: Settings,
    instance: dg.DagsterInstance | None,
    *,
    cut_speed: float | None = None,
    encode_speed: float | None = None,
) -> list[StageEta]:
    """The stages with their times. Speeds (× real time) are given, or measured by materialisations in `instance`."""
    cutting = _speed_from_option(cut_speed) or (summarise_speeds(read_cutting_speeds(instance)) if instance else [])
    found = [StageEta(CUT_LABEL, "CPU minutes", plan.decoded_sec, tuple(cutting), _no_speed_note("--cut-speed"))]
    if codec is not None:
        measured = read_encoding_speeds(instance) if instance else {}
        encoding = _speed_from_option(encode_speed) or summarise_speeds(measured.pop(format_codec_label(codec), []))
        others = [f"{name} at {summarise_speeds(runs)[0].times_real_time:,.0f} ×" for name, runs in measured.items()]
        note = _no_speed_note("--encode-speed", format_codec_label(codec))
        if others:
            note += f" (measured: {', '.join(others)})"
        found.append(StageEta(ENCODE_LABEL, expected_encoding_unit(settings), plan.encoded_sec, tuple(encoding), note))
    writing = summarise_speeds(read_writing_speeds(instance)) if instance else []
    rows = plan.stages["rows"].audio_sec
    return [
        *found,
        StageEta(WRITE_LABEL, "CPU minutes", rows, tuple(writing), "no measured speed yet: run one batch first"),
    ]


def sum_minutes(found: Sequence[StageEta]) -> Quantity | None:
    """Minutes of all stages, one after another; None if one is unknown."""
    known = [item.minutes for item in found]
    return None if None in known else sum_quantities(figure for figure in known if figure is not None)


def _speed_from_option(speed: float | None) -> list[Speed]:
    return [] if speed is None else [Speed(speed)]


def _no_speed_note(option: str, what: str = "") -> str:
    return f"no measured speed yet{f' of {what}' if what else ''}: run one batch first, or give {option}"


def read_cutting_speeds(instance: dg.DagsterInstance) -> list[SpeedMeasurement]:
    """Runs of `segments` that decoded recordings; speeds are of the decoded audio."""
    runs = _runs(instance, "segments", lambda values: _number(values, "recordings_decoded") > 0)
    return [measurement for _, measurement in runs]


def read_encoding_speeds(instance: dg.DagsterInstance) -> dict[str, list[SpeedMeasurement]]:
    """Runs of `coded_segments` that encoded segments, by `format_codec_label` of the codec."""
    found: dict[str, list[SpeedMeasurement]] = {}
    for values, measurement in _runs(
        instance, "coded_segments", lambda values: _number(values, "segments_encoded") > 0
    ):
        found.setdefault(parse_codec_label(values), []).append(measurement)
    return found


def format_codec_label(codec: Codec) -> str:
    """Name and revision: speeds of different revisions are not comparable."""
    return f"{codec.name} {codec.revision}"


def read_writing_speeds(instance: dg.DagsterInstance) -> list[SpeedMeasurement]:
    """Speeds of `voice_dataset` where rows were written."""
    runs = _runs(instance, "voice_dataset", lambda values: _number(values, "bytes") > 0)
    return [measurement for _, measurement in runs]


def parse_codec_label(values: MetadataValues) -> str:
    """Name and revision from the metadata, without the comment that follows them.

    >>> parse_codec_label({"codec": "melvq 1-729d5cd88749 (a stand-in, not NeuCodec)"})
    'melvq 1-729d5cd88749'
    """
    return str(values.get("codec", "")).partition(" (")[0]


def _runs(
    instance: dg.DagsterInstance, asset: str, worked: Callable[[MetadataValues], bool]
) -> Iterator[tuple[MetadataValues, SpeedMeasurement]]:
    @cache
    def host_of(run_id: str) -> str:
        run = instance.get_run_by_id(run_id)
        return run.tags.get(HOST_TAG, "") if run is not None else ""

    for record in instance.fetch_materializations(dg.AssetKey(asset), limit=MAX_MATERIALISATIONS).records:
        event = record.asset_materialization
        values = {name: item.value for name, item in event.metadata.items()} if event is not None else {}
        speed, wall_sec = _number(values, "times_real_time"), _number(values, "wall_sec")
        if speed > 0 and wall_sec > 0 and worked(values):
            device = str(values.get(DEVICE_METADATA, ""))
            yield values, SpeedMeasurement(speed, wall_sec, record.timestamp, host_of(record.run_id), device)


def _number(values: MetadataValues, name: str) -> float:
    value = values.get(name)
    return float(value) if isinstance(value, int | float) else 0.0
