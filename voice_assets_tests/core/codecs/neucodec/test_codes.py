"""NeuCodec against the original package, on a small model with calibrated random weights."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from voice_assets_tests.core.codecs import original_neucodec as reference
from voice_assets_tests.core.codecs.neucodec.neucodec_helpers import CLIPS, make_codec
from voice_assets_tests.core.codecs.original_neucodec import synthetic_speech
from voice_core.codecs import load_codec
from voice_core.codecs.base import Codec
from voice_core.codecs.neucodec import NeuCodec
from voice_core.codecs.neucodec.codec import MIN_AGREEMENT
from voice_core.codecs.neucodec.engine import HOP, INPUT_HZ


def test_it_is_a_codec_that_needs_no_torch_until_it_is_used(checkpoint: Path) -> None:
    codec = make_codec(checkpoint)
    assert isinstance(codec, Codec)
    assert codec.revision.startswith("1-")
    assert codec.revision.endswith("-fp32")
    assert codec._engine is None
    assert load_codec("neucodec", codec.settings) is load_codec("neucodec", codec.settings)


def test_every_code_is_the_originals(codec: NeuCodec, original: Any) -> None:
    expected = [reference.encode_with_original(original, clip) for clip in CLIPS]
    for codes, wanted in zip(codec.encode(CLIPS), expected, strict=True):
        np.testing.assert_array_equal(codes, wanted)
    assert len(set(np.concatenate(expected).tolist())) >= 1_000


def test_batches_of_equal_length_give_the_codes_of_single_clips(codec: NeuCodec, original: Any) -> None:
    """The path of a GPU, on the CPU: clips that differ in length by less than a code share a batch."""
    engine = codec._loaded()
    clips = [synthetic_speech(2.0, seed)[: 32_000 + 40 * seed] for seed in range(6)]
    clips += [np.pad(clip, (0, extra)) for extra, clip in zip((1, 100, 319), clips, strict=False)]
    with torch.inference_mode():
        together = [*engine._group(clips, INPUT_HZ)]
    for codes, clip in zip(together, clips, strict=True):
        np.testing.assert_array_equal(codes, reference.encode_with_original(original, clip))


@settings(max_examples=12, deadline=None)
@given(
    samples=st.one_of(st.integers(0, 400), st.integers(0, 30 * INPUT_HZ)),
    kind=st.sampled_from(["speech", "zeros", "clipped", "square"]),
)
def test_lengths_from_nothing_to_thirty_seconds(codec: NeuCodec, original: Any, samples: int, kind: str) -> None:
    speech = synthetic_speech(max(samples, 1) / INPUT_HZ, samples)[:samples]
    clip = {
        "speech": speech,
        "zeros": np.zeros(samples, np.float32),
        "clipped": np.clip(speech * 30, -1, 1),
        "square": np.sign(speech).astype(np.float32),
    }[kind]
    [codes] = codec.encode([clip])
    assert len(codes) == codec.code_count(samples) == samples // HOP
    assert codes.dtype == np.int32
    if samples >= HOP:
        np.testing.assert_array_equal(codes, reference.encode_with_original(original, clip))


@pytest.mark.parametrize("samples", [1, 159, 319, 320, 321, 399, 400, 401, 639, 640])
def test_the_shortest_clips(codec: NeuCodec, original: Any, samples: int) -> None:
    clip = synthetic_speech(0.1, samples)[:samples]
    [codes] = codec.encode([clip])
    assert len(codes) == samples // HOP
    if samples >= HOP:
        np.testing.assert_array_equal(codes, reference.encode_with_original(original, clip))


def test_the_plain_path_is_the_originals_and_says_how_near_each_code_was(codec: NeuCodec, original: Any) -> None:
    codes, margins = codec.encode_reference(CLIPS[1])
    np.testing.assert_array_equal(codes, reference.encode_with_original(original, CLIPS[1]))
    assert margins.shape == codes.shape
    assert 0 <= margins.min() < margins.max() <= 0.5
    assert [len(part) for part in codec.encode_reference(CLIPS[1][:300])] == [0, 0]


def test_clips_at_24_khz_are_resampled_as_the_original_resamples_files(codec: NeuCodec, original: Any) -> None:
    from torchaudio.transforms import Resample

    clips = [synthetic_speech(seconds, 7, 24_000) for seconds in (1.0, 0.99, 2.5)]
    for clip, codes in zip(clips, codec.encode(clips, 24_000), strict=True):
        at_16_khz = Resample(24_000, INPUT_HZ)(torch.from_numpy(clip)[None])[0].numpy()
        np.testing.assert_array_equal(codes, reference.encode_with_original(original, at_16_khz))
        assert len(codes) == codec.code_count(len(clip), 24_000)


def test_on_a_cpu_no_clip_needs_the_plain_path_to_be_sure(codec: NeuCodec) -> None:
    engine = codec._loaded()
    assert engine.tolerance == 0
    with torch.inference_mode():
        for clip in CLIPS:
            audio = engine._padded([clip], INPUT_HZ)
            _, margins = engine._encoder(audio, engine._features(audio))
            np.testing.assert_array_equal(margins[0].numpy(), engine.encode_reference(clip, INPUT_HZ)[1])


def test_a_clips_codes_do_not_depend_on_its_company_nor_on_the_number_of_threads(
    codec: NeuCodec, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At more threads than one, which sum in another order: each path must keep to one a clip."""
    engine = codec._loaded()
    used: list[int] = []

    def count(*_: object) -> None:
        used.append(torch.get_num_threads())

    hook = engine._model.quantizer.project_in.register_forward_hook(count)
    hooks = [hook, engine._model.acoustic_decoder.register_forward_pre_hook(count)]
    torch.set_num_threads(max(2, torch.get_num_threads()))
    threads = torch.get_num_threads()
    try:
        together = codec.encode(CLIPS)
        alone = [codec.encode([clip])[0] for clip in CLIPS[:4]]
        plain = [codec.encode_reference(clip)[0] for clip in CLIPS[:4]]
        heard = codec.decode(together[:4])
        heard_alone = [codec.decode([codes])[0] for codes in together[:4]]
    finally:
        for hook in hooks:
            hook.remove()
    assert len(used) == len(CLIPS) + 4 + 4 + 4 + 4
    assert set(used) == {1}
    assert torch.get_num_threads() == threads
    for index in range(4):
        np.testing.assert_array_equal(together[index], alone[index])
        np.testing.assert_array_equal(together[index], plain[index])
        np.testing.assert_array_equal(heard[index], heard_alone[index])


def test_decoding_gives_the_originals_audio_whatever_is_decoded_with_it(codec: NeuCodec, original: Any) -> None:
    codes = codec.encode(CLIPS[:6])
    for audio, item in zip(codec.decode([*codes, np.empty(0, np.int32)]), codes, strict=False):
        with torch.inference_mode():
            wanted = original.decode_code(torch.from_numpy(item)[None, None]).flatten().numpy()
        assert len(audio) == 480 * len(item)
        np.testing.assert_allclose(audio, wanted, atol=1e-4 * np.abs(wanted).max())


def test_a_clip_near_a_boundary_is_encoded_again_by_the_plain_path(
    codec: NeuCodec, original: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = codec._loaded()
    before = engine.rechecked
    monkeypatch.setattr(engine, "tolerance", 1.0)
    codes = codec.encode(CLIPS[:3])
    assert engine.rechecked == before + 3
    for clip, found in zip(CLIPS, codes, strict=False):
        np.testing.assert_array_equal(found, reference.encode_with_original(original, clip))


@contextmanager
def overflowing(joined: torch.nn.Module, value: float, good: int = 0) -> Iterator[None]:
    """What joins the encoders' outputs gives such a value for each clip but the first `good`."""

    def corrupt(_: torch.nn.Module, __: object, both: torch.Tensor) -> None:
        both[good:, 3, 0] = value

    hook = joined.register_forward_hook(corrupt)
    try:
        yield
    finally:
        hook.remove()


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_values_that_are_not_finite_give_no_codes(checkpoint: Path, codec: NeuCodec, value: float) -> None:
    half = make_codec(checkpoint, precision="fp16")
    refused = pytest.raises(ValueError, match="Clip 0: the encoder gives values that are not finite in fp16")
    with overflowing(half._loaded()._encoder.join, value), refused:
        half.encode(CLIPS[:1])
    engine = codec._loaded()
    wanted = codec.encode([CLIPS[1]])[0]
    fast, plain = engine._encoder.join, engine._model.fc_encoder
    with overflowing(fast, value, good=1), torch.inference_mode():  # of the second clip the plain path decides
        for codes in engine._group([CLIPS[1]] * 2, INPUT_HZ):
            np.testing.assert_array_equal(codes, wanted)
    with overflowing(fast, value), overflowing(plain, value):
        with pytest.raises(ValueError, match="Clip 1: the encoder gives values that are not finite"):
            codec.encode([CLIPS[1][:300], CLIPS[1]])
        with pytest.raises(ValueError, match="not finite"):
            codec.encode_reference(CLIPS[1])


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_audio_that_is_not_finite_is_refused_with_its_position(codec: NeuCodec, value: float) -> None:
    clip = synthetic_speech(1.0, 1)
    clip[77] = value
    with pytest.raises(ValueError, match="Clip 1: sample 77"):
        codec.encode([CLIPS[0], clip])


@pytest.mark.parametrize("precision", ["tf32", "bf16", "fp16"])
def test_other_precisions_are_other_revisions_and_mostly_agree(
    checkpoint: Path, codec: NeuCodec, precision: str
) -> None:
    other = make_codec(checkpoint, precision=precision)
    assert other.revision == codec.revision.replace("fp32", precision)
    wanted, found = np.concatenate(codec.encode(CLIPS[:4])), np.concatenate(other.encode(CLIPS[:4]))
    agreement = float((wanted == found).mean())
    assert agreement == 1.0 if precision == "tf32" else MIN_AGREEMENT[precision] < agreement < 1.0
    np.testing.assert_array_equal(other.encode_reference(CLIPS[1])[0], codec.encode_reference(CLIPS[1])[0])
