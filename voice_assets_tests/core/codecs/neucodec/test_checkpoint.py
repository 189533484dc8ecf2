"""The weights of NeuCodec: their revision, and what is said where some are missing."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from voice_assets_tests.core.codecs.neucodec.neucodec_helpers import CLIPS, make_codec
from voice_core.codecs import load_codec
from voice_core.codecs.base import CodecUnavailableError
from voice_core.codecs.neucodec import NeuCodec
from voice_core.settings import ConfigurationError, NeuCodecSettings


def test_the_revision_follows_the_weights(checkpoint: Path, tmp_path: Path) -> None:
    weights = tmp_path / "weights"
    weights.mkdir()
    for path in checkpoint.iterdir():
        (weights / path.name).write_bytes(path.read_bytes())
    before = make_codec(weights)
    assert before.revision == make_codec(checkpoint).revision
    once = load_codec("neucodec", before.settings)
    assert once.revision == before.revision
    content = bytearray((weights / "model.safetensors").read_bytes())
    content[-1] ^= 1
    (weights / "model.safetensors").write_bytes(content)
    assert make_codec(weights).revision != make_codec(checkpoint).revision
    assert load_codec("neucodec", before.settings).revision == make_codec(weights).revision
    with pytest.raises(CodecUnavailableError, match="were replaced while the program ran"):
        once.encode(CLIPS[:1])


def test_a_commit_at_the_hub_needs_neither_weights_nor_network() -> None:
    commit = "0123456789abcdef0123456789abcdef01234567"
    codec = NeuCodec(NeuCodecSettings(revision=commit))
    assert codec.revision == "1-0123456789ab-fp32"
    assert codec.code_count(24_000, 24_000) == 50


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"checkpoint": "no such folder"}, "neither a folder nor a repository"),
        ({"checkpoint": "nobody/nothing"}, "could not be fetched.*VOICE_NEUCODEC__CHECKPOINT"),
        ({"device": "cuda"}, "asks for a GPU.*VOICE_NEUCODEC__DEVICE=cpu"),
        ({"device": "auto", "pool": "gpu_t4"}, "the pool gpu_t4 asks for a GPU"),
    ],
)
def test_what_is_missing_is_named_with_the_remedy(
    checkpoint: Path, options: dict[str, str], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    codec = NeuCodec(NeuCodecSettings(**{"checkpoint": str(checkpoint), "device": "cpu", **options}))
    with pytest.raises(CodecUnavailableError, match=f"(?s){message}"), codec.ready("a test"):
        pass


def test_a_folder_without_weights_is_named(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(CodecUnavailableError, match=r"has no \*\.safetensors"):
        _ = make_codec(tmp_path).revision


@pytest.mark.parametrize("fault", ["missing", "of another shape"])
def test_weights_that_would_be_random_are_named(checkpoint: Path, tmp_path: Path, fault: str) -> None:
    weights = load_file(checkpoint / "model.safetensors")
    key = next(name for name in weights if name.endswith("conv1.weight"))
    taken = weights.pop(key)
    if fault == "of another shape":
        weights[key] = taken[:-1].contiguous()
    save_file(weights, tmp_path / "model.safetensors", {"format": "pt"})
    (tmp_path / "config.json").write_bytes((checkpoint / "config.json").read_bytes())
    with pytest.raises(CodecUnavailableError, match=f"1 weights of NeuCodec are not in .*{re.escape(key)}"):
        make_codec(tmp_path).encode(CLIPS[:1])


def test_a_precision_that_the_pools_gpus_lack_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="bf16 is not allowed on GPUs of the pool gpu_t4"):
        NeuCodec(NeuCodecSettings(pool="gpu_t4", precision="bf16"))


@pytest.mark.parametrize(
    "failure",
    [
        'OSError("libcudart.so.13: cannot open shared object file")',
        'RuntimeError("PyTorch and TorchAudio were compiled with different CUDA major versions")',
    ],
)
def test_a_torchaudio_of_another_build_is_named_with_the_command_that_installs_the_right_one(
    checkpoint: Path, tmp_path: Path, failure: str
) -> None:
    (tmp_path / "torchaudio").mkdir()
    (tmp_path / "torchaudio" / "__init__.py").write_text(f"raise {failure}\n")
    program = (
        "import sys; from pathlib import Path; from voice_core.codecs import load_codec\n"
        "from voice_core.settings import NeuCodecSettings\n"
        "codec = load_codec('neucodec', NeuCodecSettings(checkpoint=sys.argv[1], device='cpu'))\n"
        "with codec.ready('a test'): pass\n"
    )
    path = os.pathsep.join([str(tmp_path), str(Path(__file__).parents[4])])
    done = subprocess.run(
        [sys.executable, "-c", program, str(checkpoint)],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    said = done.stderr.splitlines()[-1]
    assert "CodecUnavailableError" in said
    assert "does not load with this torch" in said
    assert "pip install --force-reinstall torchaudio" in said
    build = torch.__version__.partition("+")[2]
    assert said.count(f"the package index that torch came from (its build is {build})") == bool(build)
