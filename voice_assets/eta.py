"""How long a planned build would take, from measured speeds."""

from collections.abc import Sequence
from dataclasses import dataclass

import dagster as dg

from voice_assets.throughput_history import label_of, measured_cutting, measured_encoding, measured_writing
from voice_core.codecs.base import Codec
from voice_core.corpus.plan.estimates import Figure, total
from voice_core.corpus.plan.speeds import Speed, speeds
from voice_core.corpus.plan.work import Plan
from voice_core.settings import Settings

CUTTING, ENCODING, WRITING = "decode and cut", "encode", "write rows"


@dataclass(frozen=True, slots=True)
class Timing:
    """One stage: the audio that it works on, and the speeds that were measured, the last host's first.

    `expected` says whose minutes these would be, where no device was measured. `note` says what is missing where there
    is no speed.
    """

    stage: str
    expected: str
    audio_sec: Figure
    speeds: tuple[Speed, ...] = ()
    note: str = ""

    @property
    def unit(self) -> str:
        """Whose minutes these are, by the first speed."""
        return self.unit_of(self.speeds[0]) if self.speeds else self.expected

    def unit_of(self, speed: Speed) -> str:
        """Whose minutes it takes at one of the speeds: those of the device that had it."""
        return _unit(speed.device) if speed.device else self.expected

    @property
    def minutes(self) -> Figure | None:
        """Wall time, by the first speed; None where there is work and no speed."""
        if not self.audio_sec.value:
            return Figure()
        return self.speeds[0].minutes(self.audio_sec) if self.speeds else None


def encoding_unit(settings: Settings) -> str:
    """Whose minutes encoding is expected to take: a GPU's in its pool, else the processors'."""
    device = settings.neucodec.device
    if settings.codec != "neucodec" or (device == "auto" and not settings.neucodec.pool):
        return _unit("cpu")
    return _unit(device)


def _unit(device: str) -> str:
    """
    >>> _unit("cpu"), _unit("cuda: NVIDIA H200")
    ('CPU minutes', 'GPU minutes')
    """
    return "CPU minutes" if device.partition(":")[0] == "cpu" else "GPU minutes"


def timings(
    plan: Plan,
    codec: Codec | None,
    settings: Settings,
    instance: dg.DagsterInstance | None,
    *,
    cut_speed: float | None = None,
    encode_speed: float | None = None,
) -> list[Timing]:
    """By stage. Speeds, in times real time, are those given, or else what materialisations in `instance` measured."""
    cutting = _known(cut_speed) or (speeds(measured_cutting(instance)) if instance else [])
    found = [Timing(CUTTING, "CPU minutes", plan.decoded_sec, tuple(cutting), _missing("--cut-speed"))]
    if codec is not None:
        measured = measured_encoding(instance) if instance else {}
        encoding = _known(encode_speed) or speeds(measured.pop(label_of(codec), []))
        others = [f"{name} at {speeds(runs)[0].times_real_time:,.0f} ×" for name, runs in measured.items()]
        note = _missing("--encode-speed", label_of(codec))
        if others:
            note += f" (measured was {', '.join(others)})"
        found.append(Timing(ENCODING, encoding_unit(settings), plan.encoded_sec, tuple(encoding), note))
    writing = speeds(measured_writing(instance)) if instance else []
    rows = plan.stages["rows"].audio_sec
    return [*found, Timing(WRITING, "CPU minutes", rows, tuple(writing), "no measured speed yet: run one batch first")]


def in_all(found: Sequence[Timing]) -> Figure | None:
    """Minutes of all stages, one after another; None where one is not known."""
    known = [item.minutes for item in found]
    return None if None in known else total(figure for figure in known if figure is not None)


def _known(speed: float | None) -> list[Speed]:
    return [] if speed is None else [Speed(speed)]


def _missing(option: str, what: str = "") -> str:
    return f"no measured speed yet{f' of {what}' if what else ''}: run one batch first, or give {option}"
