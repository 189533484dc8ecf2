"""The time that a planned build would take, from measured speeds."""

from collections.abc import Sequence
from dataclasses import dataclass

import dagster as dg

from voice_assets.throughput_history import (
    format_codec_label,
    read_cutting_speeds,
    read_encoding_speeds,
    read_writing_speeds,
)
from voice_core.codecs import codec_device, codec_pool
from voice_core.codecs.base import Codec
from voice_core.corpus.plan.build_plan import BuildPlan
from voice_core.corpus.plan.estimates import Quantity, Speed, sum_quantities, summarise_speeds
from voice_core.settings import Settings

CUT_LABEL, ENCODE_LABEL, WRITE_LABEL = "decode and cut", "encode", "write rows"


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
