"""The original neucodec package with random weights, and the same weights in transformers' layout.

No weights can be downloaded where tests run. Plain random ones give the same code for every frame, so that a comparison
would pass on anything: here the quantiser's input is scaled by what speech-like clips make of it, after which nearly
every frame has a code of its own.
"""

import re
import types
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from unittest.mock import patch

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from transformers import (
    NeuCodecConfig,
    NeuCodecModel,
    SeamlessM4TFeatureExtractor,
    Wav2Vec2BertConfig,
    Wav2Vec2BertModel,
)

INPUT_HZ = 16_000
_USED_LAYERS = 16  # of the semantic encoder's: the original runs 24 and takes the output of the sixteenth


@dataclass(frozen=True, slots=True)
class ModelSize:
    """Widths and depths. A head of the decoder is 64 wide, and a group norm wants multiples of 32."""

    width: int = 1024
    semantic_layers: int = 24
    semantic_heads: int = 16
    acoustic_width: int = 48
    decoder_layers: int = 12


FULL = ModelSize()
SMALL = ModelSize(width=128, semantic_layers=18, semantic_heads=4, acoustic_width=8, decoder_layers=2)


def synthetic_speech(seconds: float, seed: int, sample_rate_hz: int = INPUT_HZ) -> npt.NDArray[np.float32]:
    """Harmonics under syllables, and some noise: mono float32 within ±1."""
    draw = np.random.default_rng(seed)
    count = round(seconds * sample_rate_hz)
    time = np.arange(count) / sample_rate_hz
    pitch_hz = 120 + 40 * np.sin(2 * np.pi * 0.7 * time + seed)
    phase = 2 * np.pi * np.cumsum(pitch_hz) / sample_rate_hz
    voice = sum((np.sin(k * phase + draw.random() * 6) / k for k in range(1, 25)), np.zeros(count))
    envelope = np.clip(np.sin(2 * np.pi * 3 * time + draw.random() * 6), 0, None) ** 0.5
    noise = draw.standard_normal(count) * 0.01 * (1 + envelope)
    return (voice * envelope * 0.15 + noise).clip(-1, 1).astype(np.float32)


def build_original(size: ModelSize = FULL, seed: int = 0) -> Any:
    """The original `NeuCodec`, with calibrated random weights, on the CPU."""
    from neucodec import codec_decoder_vocos, codec_encoder, module
    from neucodec import model as package

    config = Wav2Vec2BertConfig(**_semantic(size), num_hidden_layers=size.semantic_layers, output_hidden_states=True)
    width = size.width
    instead = {
        "Wav2Vec2BertModel": types.SimpleNamespace(from_pretrained=lambda *_, **__: Wav2Vec2BertModel(config)),
        "AutoFeatureExtractor": types.SimpleNamespace(
            from_pretrained=lambda *_, **__: SeamlessM4TFeatureExtractor(padding_value=1)
        ),
        "CodecEncoder": lambda: codec_encoder.CodecEncoder(ngf=size.acoustic_width, hidden_dim=width),
        "SemanticEncoder": lambda *_: module.SemanticEncoder(width, width, width),
        "CodecDecoderVocos": lambda hop_length: codec_decoder_vocos.CodecDecoderVocos(
            width, size.decoder_layers, width // 64, 64, hop_length, vq_dim=2 * width
        ),
    }
    with torch.random.fork_rng(), warnings.catch_warnings(), patch.multiple(package, **instead):
        warnings.simplefilter("ignore", FutureWarning)  # it uses the older weight_norm
        torch.manual_seed(seed)
        made = package.NeuCodec(24_000, 480)
        made.fc_prior, made.fc_post_a = nn.Linear(2 * width, 2 * width), nn.Linear(2 * width, width)
        made = made.eval().requires_grad_(False)
        _vary(made)
    made.size = size
    calibrate(made, [synthetic_speech(0.5, seed) for seed in range(4)])
    return made


def _semantic(size: ModelSize) -> dict[str, int]:
    return {
        "hidden_size": size.width,
        "intermediate_size": 4 * size.width,
        "num_attention_heads": size.semantic_heads,
        "output_hidden_size": size.width,
    }


def _vary(model: nn.Module) -> None:
    """Give values of their own to what begins as a constant: zeros and ones would hide that two were mixed up."""
    for name, parameter in model.named_parameters():
        if name.endswith(("act.alpha", "act.beta")):
            parameter.data.normal_(0, 0.3)
        elif name.endswith(".bias") or "norm" in name:
            parameter.data.add_(torch.randn_like(parameter) * 0.02)


@torch.inference_mode()
def calibrate(model: Any, clips: Sequence[npt.NDArray[np.float32]]) -> None:
    """Scale what enters the quantiser to mean 0 and variance 1 over these clips."""
    project = model.generator.quantizer.project_in
    seen: list[Tensor] = []
    hook = project.register_forward_hook(lambda _, __, value: seen.append(value))
    for clip in clips:
        model.encode_code(torch.from_numpy(clip)[None, None])
    hook.remove()
    values = torch.cat([value.reshape(-1, value.shape[-1]) for value in seen])
    mean, deviation = values.mean(0), values.std(0)
    project.weight.data.div_(deviation[:, None])
    project.bias.data.sub_(mean).div_(deviation)


def encode_with_original(model: Any, clip: npt.NDArray[np.float32]) -> npt.NDArray[np.int32]:
    """What the original's `encode_code` gives for one clip at 16 kHz."""
    with torch.inference_mode():
        device = next(model.parameters()).device
        found = model.encode_code(torch.from_numpy(clip)[None, None].to(device))
    return np.asarray(found[0, 0].cpu().numpy(), np.int32)


def to_transformers(model: Any) -> NeuCodecModel:
    """The same weights in transformers' model."""
    size = model.size
    config = NeuCodecConfig(
        semantic_model_config=Wav2Vec2BertConfig(**_semantic(size), num_hidden_layers=_USED_LAYERS),
        hidden_size=size.width,
        intermediate_size=4 * size.width,
        num_hidden_layers=size.decoder_layers,
        num_attention_heads=size.width // 64,
        num_key_value_heads=size.width // 64,
        encoder_hidden_size=size.acoustic_width,
        quantization_dim=2 * size.width,
    )
    made = NeuCodecModel(config).eval().requires_grad_(False)
    made.load_state_dict(_renamed(model.state_dict()))
    return made


_UNIT = {"0": "snake1", "1": "conv1", "2": "snake2", "3": "conv2"}
_RENAMINGS: Sequence[tuple[str, Any]] = (
    (r"^semantic_model\.", "semantic_encoder."),
    (r"^SemanticEncoder_module\.initial_conv", "semantic_adapter.conv1"),
    (r"^SemanticEncoder_module\.residual_blocks\.1", "semantic_adapter.conv2"),
    (r"^SemanticEncoder_module\.residual_blocks\.3", "semantic_adapter.conv3"),
    (r"^SemanticEncoder_module\.final_conv", "semantic_adapter.conv4"),
    (r"^CodecEnc\.conv_blocks\.0\.", "acoustic_encoder.conv1."),
    (r"^CodecEnc\.conv_final_block\.0\.", "acoustic_encoder.snake1."),
    (r"^CodecEnc\.conv_final_block\.1\.", "acoustic_encoder.conv2."),
    (
        r"^CodecEnc\.conv_blocks\.(\d)\.block\.([012])\.block\.(\d)\.",
        lambda m: f"acoustic_encoder.block.{int(m[1]) - 1}.res_unit{int(m[2]) + 1}.{_UNIT[m[3]]}.",
    ),
    (r"^CodecEnc\.conv_blocks\.(\d)\.block\.3\.", lambda m: f"acoustic_encoder.block.{int(m[1]) - 1}.snake1."),
    (r"^CodecEnc\.conv_blocks\.(\d)\.block\.4\.", lambda m: f"acoustic_encoder.block.{int(m[1]) - 1}.conv1."),
    (r"^generator\.quantizer\.", "quantizer."),
    (r"^fc_prior\.", "fc_encoder."),
    (r"^fc_post_a\.", "acoustic_decoder.fc."),
    (r"^generator\.head\.out\.", "acoustic_decoder.head.linear."),
    (r"^generator\.backbone\.final_layer_norm", "acoustic_decoder.norm"),
    (r"^generator\.backbone\.transformers", "acoustic_decoder.layers"),
    (r"^generator\.backbone\.", "acoustic_decoder."),
    (r"\.att_norm\.", ".input_layernorm."),
    (r"\.ffn_norm\.", ".post_attention_layernorm."),
    (r"\.att\.c_proj\.", ".self_attn.o_proj."),
)


def _renamed(state: dict[str, Tensor]) -> dict[str, Tensor]:
    made: dict[str, Tensor] = {}
    for name, value in state.items():
        layer = re.match(r"semantic_model\.encoder\.layers\.(\d+)\.", name)
        if (layer and int(layer[1]) >= _USED_LAYERS) or name.endswith(("weight_v", "filter", "istft.window")):
            continue
        if name.endswith("weight_g"):
            name = name.removesuffix("_g")
            value = torch._weight_norm(state[f"{name}_v"], value, 0)
        for pattern, replacement in _RENAMINGS:
            name = re.sub(pattern, replacement, name)
        if ".att.c_attn." in name:
            for part, share in zip("qkv", value.chunk(3), strict=True):
                made[name.replace(".att.c_attn.", f".self_attn.{part}_proj.")] = share
        else:
            made[name] = value
    return made
