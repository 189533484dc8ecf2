"""The parts of NeuCodec that were written anew, against those whose place they take."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import SeamlessM4TFeatureExtractor
from transformers.models.neucodec.modeling_neucodec import NeuCodecAntiAliasedActivation1d, NeuCodecSnakeBeta

from voice_assets_tests.core.codecs.original_neucodec import SMALL, synthetic_speech
from voice_core.codecs.neucodec import NeuCodec
from voice_core.codecs.neucodec.engine import INPUT_HZ, _resampler
from voice_core.codecs.neucodec.features import Features, pairwise_sum
from voice_core.codecs.neucodec.network import FusedActivation, _expression, _in_blocks


@pytest.mark.parametrize("from_hz", [16_000, 22_050, 24_000, 48_000])
def test_clips_are_resampled_by_torchaudio_on_the_codecs_device(from_hz: int) -> None:
    from torchaudio.transforms import Resample

    audio = torch.from_numpy(np.stack([synthetic_speech(0.7, seed, from_hz) for seed in range(3)]))
    with torch.inference_mode():
        resampled = _resampler(from_hz, torch.device("cpu"))(audio)
    assert torch.equal(resampled, Resample(from_hz, INPUT_HZ)(audio))
    assert torch.equal(_resampler(from_hz, torch.device("cpu"))(audio), resampled)  # outside of inference mode, too


def test_features_equal_the_originals_to_the_bit() -> None:
    extractor = SeamlessM4TFeatureExtractor(padding_value=1)
    features = Features(extractor)
    clips = [np.pad(synthetic_speech(3.0, seed), (0, 320)) for seed in range(4)]
    clips[3][:24_000] = 0
    for count in (640, 960, 16_320, 48_320):
        batch = np.stack([clip[:count] for clip in clips])
        wanted = [extractor(clip, sampling_rate=INPUT_HZ, return_tensors="pt").input_features for clip in batch]
        assert torch.equal(features(torch.from_numpy(batch)), torch.cat(wanted))


@given(count=st.integers(1, 4_000), seed=st.integers(0, 9))
def test_sums_equal_numpys_to_the_bit(count: int, seed: int) -> None:
    rows = (np.random.default_rng(seed).standard_normal((2, count)) * 10 - 5).astype(np.float32)
    np.testing.assert_array_equal(pairwise_sum(torch.from_numpy(rows)).numpy(), rows.T.sum(0))


@settings(max_examples=25, deadline=None)
@given(samples=st.integers(1, 300), clips=st.integers(1, 2), channels=st.integers(1, 3), seed=st.integers(0, 9))
def test_the_fused_activation_is_the_plain_one(samples: int, clips: int, channels: int, seed: int) -> None:
    torch.manual_seed(seed)
    plain = NeuCodecAntiAliasedActivation1d(NeuCodecSnakeBeta(channels)).requires_grad_(False)
    plain.act.alpha.normal_(0, 0.5)
    plain.act.beta.normal_(0, 0.5)
    fused = FusedActivation(plain)
    x = torch.randn(clips, channels, samples) * 2
    wanted = plain.double()(x.double())
    plain.float()
    frequency, amplitude = torch.exp(plain.act.alpha), 1 / (torch.exp(plain.act.beta) + 1e-9)
    expression = _expression(x, frequency[:, None], amplitude[:, None], fused.up, fused.down)
    blocks = _in_blocks(x, frequency, amplitude, fused.up, fused.down, block=97)
    for value in (fused(x), expression, blocks):
        torch.testing.assert_close(value.double(), wanted, rtol=1e-5, atol=2e-6)


@pytest.mark.parametrize(
    ("channels", "samples", "block"),
    [(3, 1, 1), (5, 7, 1), (5, 7, 5), (5, 8, 6), (3, 292, 97), (96, 1_001, 4_000), (16, 140_000, 1 << 17)],
)
def test_on_a_cpu_the_fused_activation_is_the_plain_one_to_the_bit(channels: int, samples: int, block: int) -> None:
    torch.manual_seed(samples)
    plain = NeuCodecAntiAliasedActivation1d(NeuCodecSnakeBeta(channels)).requires_grad_(False)
    plain.act.alpha.normal_(0, 0.5)
    plain.act.beta.normal_(0, 0.5)
    fused = FusedActivation(plain)
    frequency, amplitude = torch.exp(plain.act.alpha), 1 / (torch.exp(plain.act.beta) + plain.act.no_div_by_zero)
    x = torch.randn(2, channels, samples) * 2
    assert torch.equal(_in_blocks(x, frequency, amplitude, fused.up, fused.down, block), plain(x))


def test_a_compiler_can_take_in_the_fused_activations(codec: NeuCodec) -> None:
    """In one graph; the expression that it compiles gives what the blocks of a CPU give."""
    unit = codec._loaded()._encoder.acoustic.block[0].res_unit1
    x = torch.randn(2, SMALL.acoustic_width, 500)
    with torch.no_grad():
        compiled = torch.compile(unit, backend="aot_eager", fullgraph=True)
        torch.testing.assert_close(compiled(x), unit(x), rtol=1e-5, atol=1e-5)
