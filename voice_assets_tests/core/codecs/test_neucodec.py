"""NeuCodec against the original package, on a small model with calibrated random weights."""

import pickle
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from transformers import SeamlessM4TFeatureExtractor
from transformers.models.neucodec.modeling_neucodec import NeuCodecAntiAliasedActivation1d, NeuCodecSnakeBeta

from voice_assets_tests.core.codecs import original as reference
from voice_assets_tests.core.codecs.original import SMALL, speechlike
from voice_core.codecs import load_codec
from voice_core.codecs.base import Codec, CodecUnavailableError, OutOfMemoryError
from voice_core.codecs.neucodec import NeuCodec
from voice_core.codecs.neucodec.activation import FusedActivation, _expression, _in_blocks
from voice_core.codecs.neucodec.codec import LEAST_AGREEMENT
from voice_core.codecs.neucodec.engine import HOP, INPUT_HZ, Engine
from voice_core.codecs.neucodec.features import Features
from voice_core.codecs.neucodec.pairwise import pairwise_sum
from voice_core.codecs.neucodec.resampling import resample
from voice_core.gpu_lock import hold, holders
from voice_core.settings import ConfigurationError, NeuCodecSettings


@pytest.fixture(scope="session")
def original() -> Any:
    return reference.original(SMALL)


@pytest.fixture(scope="session")
def checkpoint(original: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same weights as a folder in transformers' layout."""
    folder = tmp_path_factory.mktemp("neucodec")
    reference.in_transformers(original).save_pretrained(folder)
    return folder


def made(checkpoint: Path, **options: Any) -> NeuCodec:
    return NeuCodec(NeuCodecSettings(checkpoint=str(checkpoint), **{"device": "cpu", **options}))


@pytest.fixture(scope="session")
def codec(checkpoint: Path) -> NeuCodec:
    return made(checkpoint)


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """Sums over frames come out in another order with two threads: both sides must have as many."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


CLIPS = [
    speechlike(seconds, 100 + index) for index, seconds in enumerate((0.5, 2, 1, 2, 3.3, 2, 1.02, 0.3, 5, 2, 1, 4))
]


def test_it_is_a_codec_that_needs_no_torch_until_it_is_used(checkpoint: Path) -> None:
    codec = made(checkpoint)
    assert isinstance(codec, Codec)
    assert codec.revision.startswith("1-")
    assert codec.revision.endswith("-fp32")
    assert codec._engine is None
    assert load_codec("neucodec", codec.settings) is load_codec("neucodec", codec.settings)


def test_every_code_is_the_originals(codec: NeuCodec, original: Any) -> None:
    expected = [reference.encode(original, clip) for clip in CLIPS]
    for codes, wanted in zip(codec.encode(CLIPS), expected, strict=True):
        np.testing.assert_array_equal(codes, wanted)
    assert len(set(np.concatenate(expected).tolist())) >= 1_000


def test_batches_of_equal_length_give_the_codes_of_single_clips(codec: NeuCodec, original: Any) -> None:
    """The path of a GPU, on the CPU: clips that differ in length by less than a code share a batch."""
    engine = codec._loaded()
    clips = [speechlike(2.0, seed)[: 32_000 + 40 * seed] for seed in range(6)]
    clips += [np.pad(clip, (0, extra)) for extra, clip in zip((1, 100, 319), clips, strict=False)]
    with torch.inference_mode():
        together = [*engine._group(clips, INPUT_HZ)]
    for codes, clip in zip(together, clips, strict=True):
        np.testing.assert_array_equal(codes, reference.encode(original, clip))


@settings(max_examples=12, deadline=None)
@given(
    samples=st.one_of(st.integers(0, 400), st.integers(0, 30 * INPUT_HZ)),
    kind=st.sampled_from(["speech", "zeros", "clipped", "square"]),
)
def test_lengths_from_nothing_to_thirty_seconds(codec: NeuCodec, original: Any, samples: int, kind: str) -> None:
    speech = speechlike(max(samples, 1) / INPUT_HZ, samples)[:samples]
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
        np.testing.assert_array_equal(codes, reference.encode(original, clip))


@pytest.mark.parametrize("samples", [1, 159, 319, 320, 321, 399, 400, 401, 639, 640])
def test_the_shortest_clips(codec: NeuCodec, original: Any, samples: int) -> None:
    clip = speechlike(0.1, samples)[:samples]
    [codes] = codec.encode([clip])
    assert len(codes) == samples // HOP
    if samples >= HOP:
        np.testing.assert_array_equal(codes, reference.encode(original, clip))


def test_the_plain_path_is_the_originals_and_says_how_near_each_code_was(codec: NeuCodec, original: Any) -> None:
    codes, margins = codec.encode_alone(CLIPS[1])
    np.testing.assert_array_equal(codes, reference.encode(original, CLIPS[1]))
    assert margins.shape == codes.shape
    assert 0 <= margins.min() < margins.max() <= 0.5
    assert [len(part) for part in codec.encode_alone(CLIPS[1][:300])] == [0, 0]


def test_clips_at_24_khz_are_resampled_as_the_original_resamples_files(codec: NeuCodec, original: Any) -> None:
    from torchaudio.transforms import Resample

    clips = [speechlike(seconds, 7, 24_000) for seconds in (1.0, 0.99, 2.5)]
    for clip, codes in zip(clips, codec.encode(clips, 24_000), strict=True):
        at_16_khz = Resample(24_000, INPUT_HZ)(torch.from_numpy(clip)[None])[0].numpy()
        np.testing.assert_array_equal(codes, reference.encode(original, at_16_khz))
        assert len(codes) == codec.code_count(len(clip), 24_000)


@pytest.mark.parametrize(("from_hz", "to_hz"), [(24_000, 16_000), (48_000, 16_000), (16_000, 24_000), (22_050, 16_000)])
def test_resampling_equals_torchaudios(from_hz: int, to_hz: int) -> None:
    from torchaudio.transforms import Resample

    audio = torch.from_numpy(np.stack([speechlike(0.7, seed, from_hz) for seed in range(3)]))
    assert torch.equal(resample(audio, from_hz, to_hz), Resample(from_hz, to_hz)(audio))


def test_features_equal_the_originals_to_the_bit() -> None:
    extractor = SeamlessM4TFeatureExtractor(padding_value=1)
    features = Features(extractor)
    clips = [np.pad(speechlike(3.0, seed), (0, 320)) for seed in range(4)]
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


def test_on_a_cpu_no_clip_needs_the_plain_path_to_be_sure(codec: NeuCodec) -> None:
    engine = codec._loaded()
    assert engine.tolerance == 0
    with torch.inference_mode():
        for clip in CLIPS:
            audio = engine._padded([clip], INPUT_HZ)
            _, margins = engine._encoder(audio, engine._features(audio))
            np.testing.assert_array_equal(margins[0].numpy(), engine.encode_alone(clip, INPUT_HZ)[1])


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
        plain = [codec.encode_alone(clip)[0] for clip in CLIPS[:4]]
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


def test_a_clip_that_fails_leaves_the_number_of_threads_as_it_was(checkpoint: Path) -> None:
    engine = made(checkpoint)._loaded()
    engine._encoder = LittleMemory(engine._encoder, 0)  # type: ignore[assignment]
    torch.set_num_threads(3)
    with pytest.raises(OutOfMemoryError):
        engine.encode(CLIPS[:3], INPUT_HZ)
    assert torch.get_num_threads() == 3


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
        np.testing.assert_array_equal(found, reference.encode(original, clip))


@contextmanager
def overflowing(joined: torch.nn.Module, value: float, good: int = 0) -> Iterator[None]:
    """What joins the encoders' outputs gives such a value for each clip but the first `good`."""

    def spoil(_: torch.nn.Module, __: object, both: torch.Tensor) -> None:
        both[good:, 3, 0] = value

    hook = joined.register_forward_hook(spoil)
    try:
        yield
    finally:
        hook.remove()


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_values_that_are_no_numbers_become_no_codes(checkpoint: Path, codec: NeuCodec, value: float) -> None:
    half = made(checkpoint, precision="fp16")
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
            codec.encode_alone(CLIPS[1])


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_audio_that_is_no_number_is_refused_by_place(codec: NeuCodec, value: float) -> None:
    clip = speechlike(1.0, 1)
    clip[77] = value
    with pytest.raises(ValueError, match="Clip 1: sample 77"):
        codec.encode([CLIPS[0], clip])


class LittleMemory:
    """An encoder or decoder that runs out of memory above so many clips at once."""

    def __init__(self, whole: Any, most: int, error: RuntimeError | None = None) -> None:
        self._whole, self._most = whole, most
        self._error = error or torch.OutOfMemoryError("CUDA out of memory")
        self.sizes: list[int] = []

    def __call__(self, first: torch.Tensor, *others: Any, **options: Any) -> Any:
        self.sizes.append(len(first))
        if len(first) > self._most:
            raise self._error
        return self._whole(first, *others, **options)


def test_out_of_memory_halves_the_batch_and_remembers(checkpoint: Path, original: Any) -> None:
    engine = made(checkpoint)._loaded()
    assert isinstance(engine, Engine)
    short = LittleMemory(engine._encoder, 3)
    engine._encoder = short  # type: ignore[assignment]
    clips = [speechlike(0.5, seed) for seed in range(8)]
    with torch.inference_mode():
        codes = [*engine._group(clips, INPUT_HZ)]
        again = [*engine._group(clips, INPUT_HZ)]
    assert short.sizes == [8, 4, 2, 2, 4, 2, 2, 2, 2, 2, 2]
    for first, second, clip in zip(codes, again, clips, strict=True):
        np.testing.assert_array_equal(first, reference.encode(original, clip))
        np.testing.assert_array_equal(second, first)


def test_a_batch_stays_below_what_cuda_can_index(checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = made(checkpoint, batch_sec=1e9)._loaded()
    sizes: list[int] = []

    def count(clips: list[Any], sample_rate_hz: int) -> list[Any]:
        sizes.append(len(clips))
        return [np.empty(0, np.int32)] * len(clips)

    monkeypatch.setattr(engine, "_batch", count)
    clip = np.zeros(30 * INPUT_HZ, np.float32)
    assert len([*engine._group([clip] * 1_200, INPUT_HZ)]) == 1_200
    width = len(clip) + HOP + 12  # padded to a whole code, and by the activations' filters
    assert sum(sizes) == 1_200
    assert max(sizes) * SMALL.acoustic_width * width < 2**31
    assert (max(sizes) + 2) * SMALL.acoustic_width * width > 2**31


def test_a_clip_that_does_not_fit_by_itself_is_refused_with_its_length(checkpoint: Path) -> None:
    engine = made(checkpoint)._loaded()
    engine._encoder = LittleMemory(engine._encoder, 0)  # type: ignore[assignment]
    with torch.inference_mode(), pytest.raises(OutOfMemoryError, match=r"0\.5 s does not fit"):
        [*engine._group([speechlike(0.5, 1)], INPUT_HZ)]


@pytest.mark.parametrize(
    "message",
    [
        "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`",
        "cuFFT error: CUFFT_ALLOC_FAILED",
        "cuDNN error: CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED",
        "CUDA error: out of memory",
    ],
)
def test_a_library_that_has_no_memory_halves_the_batch_too(checkpoint: Path, codec: NeuCodec, message: str) -> None:
    engine = made(checkpoint)._loaded()
    engine._encoder = LittleMemory(engine._encoder, 2, RuntimeError(message))  # type: ignore[assignment]
    with torch.inference_mode():
        codes = [*engine._group(CLIPS[7:8] * 3, INPUT_HZ)]
    for found in codes:
        np.testing.assert_array_equal(found, codec.encode(CLIPS[7:8])[0])


def test_what_is_no_want_of_memory_is_not_tried_again(checkpoint: Path) -> None:
    engine = made(checkpoint)._loaded()
    engine._encoder = broken = LittleMemory(engine._encoder, 0, RuntimeError("a bug"))  # type: ignore[assignment]
    with pytest.raises(RuntimeError, match="a bug"), torch.inference_mode():
        [*engine._group(CLIPS[7:8] * 3, INPUT_HZ)]
    assert broken.sizes == [3]


def test_decoding_and_the_plain_path_live_with_little_memory_too(
    checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    codec = made(checkpoint)
    engine = codec._loaded()
    codes = codec.encode(CLIPS[7:8] * 3)
    wanted = codec.decode(codes)
    monkeypatch.setattr(engine, "_each", lambda groups, work: [work(group) for group in groups.values()])  # as on a GPU
    short = LittleMemory(engine._model.decode, 2)
    monkeypatch.setattr(engine._model, "decode", short)
    for found, audio in zip(codec.decode(codes), wanted, strict=True):
        np.testing.assert_allclose(found, audio, atol=1e-5)
    assert short.sizes == [3, 1, 2]
    monkeypatch.setattr(engine._model, "decode", LittleMemory(None, 0))
    with pytest.raises(OutOfMemoryError, match=r"0\.3 s does not fit"):
        codec.decode(codes)
    monkeypatch.setattr(engine._model, "encode", LittleMemory(None, 0))
    with pytest.raises(OutOfMemoryError, match=r"0\.3 s does not fit"):
        codec.encode_alone(CLIPS[7])


@pytest.mark.parametrize("precision", ["tf32", "bf16", "fp16"])
def test_other_precisions_are_other_revisions_and_mostly_agree(
    checkpoint: Path, codec: NeuCodec, precision: str
) -> None:
    other = made(checkpoint, precision=precision)
    assert other.revision == codec.revision.replace("fp32", precision)
    wanted, found = np.concatenate(codec.encode(CLIPS[:4])), np.concatenate(other.encode(CLIPS[:4]))
    agreement = float((wanted == found).mean())
    assert agreement == 1.0 if precision == "tf32" else LEAST_AGREEMENT[precision] < agreement < 1.0
    np.testing.assert_array_equal(other.encode_alone(CLIPS[1])[0], codec.encode_alone(CLIPS[1])[0])


def test_a_compiler_can_take_in_the_fused_activations(codec: NeuCodec) -> None:
    """In one graph; the expression that it compiles gives what the blocks of a CPU give."""
    unit = codec._loaded()._encoder.acoustic.block[0].res_unit1
    x = torch.randn(2, SMALL.acoustic_width, 500)
    with torch.no_grad():
        compiled = torch.compile(unit, backend="aot_eager", fullgraph=True)
        torch.testing.assert_close(compiled(x), unit(x), rtol=1e-5, atol=1e-5)


def test_it_holds_nothing_on_a_cpu_and_loads_before_work_begins(checkpoint: Path) -> None:
    codec = made(checkpoint)
    with codec.ready("encoding a test"):
        assert codec._engine is not None
    assert pickle.loads(pickle.dumps(codec))._engine is None
    assert pickle.loads(pickle.dumps(codec)).revision == codec.revision


def test_a_gpu_that_is_let_go_has_nothing_left_on_it(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the CPU in a GPU's place: what is done, in which order, and whether the lock is held meanwhile."""
    monkeypatch.setenv("VOICE_GPU_LOCK_DIR", str(tmp_path))
    codec = made(checkpoint)
    monkeypatch.setattr(codec, "_gpus", lambda: {"gpu-a": "cuda:0", "gpu-b": "cpu"})
    done: list[tuple[str, bool]] = []
    for name in ("come", "leave"):
        monkeypatch.setattr(
            Engine, name, lambda _, name=name: done.append((name, holders(tmp_path).get("gpu-b") is not None))
        )
    with hold(["gpu-a"], "another's"), ThreadPoolExecutor(1) as elsewhere:
        elsewhere.submit(codec.encode, CLIPS[:1]).result()  # by itself: it holds what is free, and leaves it
        assert done == [("leave", True)]
    with codec.ready("a batch"):  # both are free, and gpu-a comes first; but it was on the other before
        codec.decode(codec.encode(CLIPS[:1]))
        codec.encode_alone(CLIPS[0])
        assert done[1:] == [("come", True)]
    assert done[2:] == [("leave", True)]
    assert holders(tmp_path)["gpu-b"] is None


def test_leaving_a_device_takes_everything_along(checkpoint: Path) -> None:
    engine = made(checkpoint, precision="bf16")._loaded()
    parts = (engine._model, engine._encoder, engine._features)
    tensors = [tensor for part in parts for tensor in (*part.parameters(), *part.buffers())]
    assert {tensor.device.type for tensor in tensors} == {"cpu"}
    engine.device = torch.device("meta")  # stands for a GPU
    engine.come()
    assert {t.device.type for part in parts for t in (*part.parameters(), *part.buffers())} == {"meta"}


def test_the_revision_follows_the_weights(checkpoint: Path, tmp_path: Path) -> None:
    weights = tmp_path / "weights"
    weights.mkdir()
    for path in checkpoint.iterdir():
        (weights / path.name).write_bytes(path.read_bytes())
    before = made(weights)
    assert before.revision == made(checkpoint).revision
    once = load_codec("neucodec", before.settings)
    assert once.revision == before.revision
    content = bytearray((weights / "model.safetensors").read_bytes())
    content[-1] ^= 1
    (weights / "model.safetensors").write_bytes(content)
    assert made(weights).revision != made(checkpoint).revision
    assert load_codec("neucodec", before.settings).revision == made(weights).revision
    with pytest.raises(CodecUnavailableError, match="were replaced meanwhile"):
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
def test_what_is_missing_is_said_with_its_cure(
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
        _ = made(tmp_path).revision


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
        made(tmp_path).encode(CLIPS[:1])


def test_a_precision_that_the_pools_gpus_lack_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="bf16 is not for GPUs of the pool gpu_t4"):
        NeuCodec(NeuCodecSettings(pool="gpu_t4", precision="bf16"))
