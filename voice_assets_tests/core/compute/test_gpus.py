"""The GPU profiles of each pool."""

from pathlib import Path

import pytest

from voice_core.compute.gpus import load_gpu_profile, load_gpu_profiles
from voice_core.settings import ConfigurationError


def test_the_packaged_file_has_both_pools_with_fp32_as_default() -> None:
    known = load_gpu_profiles()
    assert set(known) == {"gpu_t4", "gpu_h200"}
    for item in known.values():
        assert (item.limit, item.choose_precision("")) == (1, "fp32")
    assert known["gpu_t4"].batch_sec < known["gpu_h200"].batch_sec
    assert known["gpu_h200"].choose_precision("bf16") == "bf16"


def test_a_t4_refuses_bf16_with_the_reason_and_the_allowed_precisions() -> None:
    with pytest.raises(ConfigurationError, match=r"bf16 .*gpu_t4.*Turing.*Allowed: fp32, fp16"):
        load_gpu_profile("gpu_t4").choose_precision("bf16")


def test_an_unknown_pool_is_an_error_that_names_the_known_ones() -> None:
    with pytest.raises(ConfigurationError, match=r'"gpu_a100"; known pools: gpu_t4, gpu_h200'):
        load_gpu_profile("gpu_a100")


def test_another_file_replaces_the_packaged_one(tmp_path: Path) -> None:
    path = tmp_path / "gpus.toml"
    path.write_text('[gpu_l4]\nlimit = 3\nbatch_sec = 400\nprecision = "tf32"\nprecisions = ["fp32", "tf32"]\n')
    (only,) = load_gpu_profiles(str(path)).values()
    assert (only.pool, only.limit, only.choose_precision("")) == ("gpu_l4", 3, "tf32")
    with pytest.raises(ConfigurationError, match="does not list it"):
        only.choose_precision("fp16")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[gpu_t4]\nlimit = 1", "gpu_t4.batch_sec"),
        ('[a]\nlimit=0\nbatch_sec=1\nprecision="fp32"\nprecisions=["fp32"]', "must be positive"),
        ('[a]\nlimit=1\nbatch_sec=1\nprecision="bf16"\nprecisions=["fp32"]', "not among precisions"),
        ('[a]\nlimit=1\nbatch_sec=1\nprecision="fp8"\nprecisions=["fp8"]', "a.precision"),
        ("[a]\nlimits = 1", "a.limits"),
        ('[a]\nlimit=1\nbatch_sec=1\nprecision="fp32"\nprecisions=["fp32"]\nmemory_gb=16', "a.memory_gb"),
        ("limit = 1", "cannot be read"),
        ("[a", "cannot be read"),
    ],
)
def test_an_invalid_file_is_an_error_that_says_where(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "gpus.toml"
    path.write_text(text)
    with pytest.raises(ConfigurationError, match=message):
        load_gpu_profiles(str(path))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"nowhere\.toml cannot be read"):
        load_gpu_profiles(str(tmp_path / "nowhere.toml"))
