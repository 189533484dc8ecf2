"""Measured speeds, and the time that a build takes at them."""

import dagster as dg
import pytest

from voice_assets.build import preview_build
from voice_assets.cli.plan import plan_to_dict
from voice_assets.eta import (
    estimate_stage_times,
    expected_encoding_unit,
    format_codec_label,
    read_cutting_speeds,
    read_encoding_speeds,
    read_writing_speeds,
    sum_minutes,
)
from voice_assets.run_ownership import HOST_TAG
from voice_assets_tests.assets.conftest import BuiltCorpus, correct_a_line
from voice_assets_tests.core.corpus.small_corpus import SmallCodec
from voice_core.codecs import load_codec
from voice_core.corpus.plan.build_plan import BuildPlan, PartitionPlan, StageWork
from voice_core.corpus.plan.estimates import Quantity
from voice_core.layout import PartitionKey
from voice_core.settings import Settings


def test_minutes_come_from_runs_that_did_work(built_corpus: BuiltCorpus) -> None:
    cutting, encoding = read_cutting_speeds(built_corpus.instance), read_encoding_speeds(built_corpus.instance)
    built_corpus.build()
    assert len(read_cutting_speeds(built_corpus.instance)) == len(cutting)
    correct_a_line(built_corpus)
    found = preview_build(built_corpus.settings())
    times = estimate_stage_times(
        found, load_codec("melvq"), built_corpus.settings(), built_corpus.instance, cut_speed=10.0, encode_speed=5.0
    )
    whole = sum_minutes(times[:2])
    assert whole is not None
    assert whole.value == pytest.approx(found.decoded_sec.value / 600 + found.encoded_sec.value / 300)
    built_corpus.build()  # work for the codec
    label = format_codec_label(load_codec("melvq"))
    after = read_encoding_speeds(built_corpus.instance)[label]
    assert len(after) > len(encoding.get(label, []))
    assert all(item.host for item in after)
    assert {item.device for item in after} == {"cpu"}
    assert read_writing_speeds(built_corpus.instance)


def test_encoding_in_a_pool_takes_gpu_minutes() -> None:
    assert expected_encoding_unit(Settings(codec="neucodec", neucodec={"pool": "gpu_t4"})) == "GPU minutes"  # type: ignore[arg-type]
    assert expected_encoding_unit(Settings(codec="neucodec")) == "CPU minutes"
    assert expected_encoding_unit(Settings()) == "CPU minutes"
    assert expected_encoding_unit(Settings(codec="neucodec", neucodec={"device": "cuda:1"})) == "GPU minutes"  # type: ignore[arg-type]
    on_cpu = {"pool": "gpu_t4", "device": "cpu"}
    assert expected_encoding_unit(Settings(codec="neucodec", neucodec=on_cpu)) == "CPU minutes"  # type: ignore[arg-type]


def encoded(instance: dg.DagsterInstance, host: str, device: str, speed: float) -> None:
    """A materialisation of `coded_segments` by NeuCodec, on some machine."""
    metadata = {"codec": "neucodec 1-abc-fp32", "segments_encoded": 9, "times_real_time": speed, "wall_sec": 10.0}

    @dg.asset
    def coded_segments() -> dg.MaterializeResult:
        return dg.MaterializeResult(metadata={**metadata, **({"device": device} if device else {})})

    assert dg.materialize([coded_segments], instance=instance, tags={HOST_TAG: host}).success


def test_speeds_are_separate_by_host_and_device_and_minutes_are_those_of_the_measured_device() -> None:
    settings = Settings(codec="neucodec", neucodec={"pool": "gpu_h200"})  # type: ignore[arg-type]
    codec = SmallCodec("1-abc-fp32")
    codec.name = "neucodec"
    work = PartitionPlan(PartitionKey("news", 1), 1, 1, encode=StageWork(Quantity(10), Quantity(6_000.0)))
    planned = BuildPlan((work,), 1, 1, splits=False, card=False)
    with dg.DagsterInstance.ephemeral() as instance:
        encoded(instance, "old", "", 800.0)
        for speed in (1_900.0, 2_000.0, 2_100.0):
            encoded(instance, "big", "cuda: NVIDIA H200", speed)
        encoded(instance, "small", "cuda: Tesla T4", 90.0)
        encoded(instance, "big", "cpu", 2.0)
        times = estimate_stage_times(planned, codec, settings, instance)
    _, encode, _ = times
    assert [(s.host, s.device, s.times_real_time, s.measurements) for s in encode.speeds] == [
        ("big", "cpu", 2.0, 1),
        ("small", "cuda: Tesla T4", 90.0, 1),
        ("big", "cuda: NVIDIA H200", 2_000.0, 3),
        ("old", "", 800.0, 1),
    ]
    assert encode.unit == "CPU minutes"
    assert [encode.unit_of(speed) for speed in encode.speeds] == ["CPU minutes", *["GPU minutes"] * 3]
    value = plan_to_dict(planned, times)["time"][1]
    assert (value["unit"], value["minutes"]["value"]) == ("CPU minutes", 50.0)
    assert [speed["unit"] for speed in value["speeds"]] == ["CPU minutes", *["GPU minutes"] * 3]
