"""NeuCodec where memory is short, and on a GPU that others want too."""

import pickle
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from voice_assets_tests.core.codecs import original_neucodec as reference
from voice_assets_tests.core.codecs.neucodec.neucodec_helpers import CLIPS, MemoryLimitedModule, make_codec
from voice_assets_tests.core.codecs.original_neucodec import SMALL, synthetic_speech
from voice_core.codecs.base import OutOfMemoryError
from voice_core.codecs.neucodec import NeuCodec
from voice_core.codecs.neucodec.engine import HOP, INPUT_HZ, NeuCodecEngine
from voice_core.compute.gpu_lock import hold_gpu, read_gpu_holders


def test_a_clip_that_fails_leaves_the_number_of_threads_as_it_was(checkpoint: Path) -> None:
    engine = make_codec(checkpoint)._loaded()
    engine._encoder = MemoryLimitedModule(engine._encoder, 0)  # type: ignore[assignment]
    torch.set_num_threads(3)
    with pytest.raises(OutOfMemoryError):
        engine.encode(CLIPS[:3], INPUT_HZ)
    assert torch.get_num_threads() == 3


def test_out_of_memory_halves_the_batch_and_remembers(checkpoint: Path, original: Any) -> None:
    engine = make_codec(checkpoint)._loaded()
    assert isinstance(engine, NeuCodecEngine)
    short = MemoryLimitedModule(engine._encoder, 3)
    engine._encoder = short  # type: ignore[assignment]
    clips = [synthetic_speech(0.5, seed) for seed in range(8)]
    with torch.inference_mode():
        codes = [*engine._group(clips, INPUT_HZ)]
        again = [*engine._group(clips, INPUT_HZ)]
    assert short.sizes == [8, 4, 2, 2, 4, 2, 2, 2, 2, 2, 2]
    for first, second, clip in zip(codes, again, clips, strict=True):
        np.testing.assert_array_equal(first, reference.encode_with_original(original, clip))
        np.testing.assert_array_equal(second, first)


def test_a_batch_stays_below_what_cuda_can_index(checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = make_codec(checkpoint, batch_sec=1e9)._loaded()
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
    engine = make_codec(checkpoint)._loaded()
    engine._encoder = MemoryLimitedModule(engine._encoder, 0)  # type: ignore[assignment]
    with torch.inference_mode(), pytest.raises(OutOfMemoryError, match=r"0\.5 s does not fit"):
        [*engine._group([synthetic_speech(0.5, 1)], INPUT_HZ)]


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
    engine = make_codec(checkpoint)._loaded()
    engine._encoder = MemoryLimitedModule(engine._encoder, 2, RuntimeError(message))  # type: ignore[assignment]
    with torch.inference_mode():
        codes = [*engine._group(CLIPS[7:8] * 3, INPUT_HZ)]
    for found in codes:
        np.testing.assert_array_equal(found, codec.encode(CLIPS[7:8])[0])


def test_errors_other_than_a_lack_of_memory_are_not_retried(checkpoint: Path) -> None:
    engine = make_codec(checkpoint)._loaded()
    engine._encoder = broken = MemoryLimitedModule(engine._encoder, 0, RuntimeError("a bug"))  # type: ignore[assignment]
    with pytest.raises(RuntimeError, match="a bug"), torch.inference_mode():
        [*engine._group(CLIPS[7:8] * 3, INPUT_HZ)]
    assert broken.sizes == [3]


def test_decoding_and_the_plain_path_work_with_little_memory_too(
    checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    codec = make_codec(checkpoint)
    engine = codec._loaded()
    codes = codec.encode(CLIPS[7:8] * 3)
    wanted = codec.decode(codes)
    monkeypatch.setattr(engine, "_each", lambda groups, work: [work(group) for group in groups.values()])  # as on a GPU
    short = MemoryLimitedModule(engine._model.decode, 2)
    monkeypatch.setattr(engine._model, "decode", short)
    for found, audio in zip(codec.decode(codes), wanted, strict=True):
        np.testing.assert_allclose(found, audio, atol=1e-5)
    assert short.sizes == [3, 1, 2]
    monkeypatch.setattr(engine._model, "decode", MemoryLimitedModule(None, 0))
    with pytest.raises(OutOfMemoryError, match=r"0\.3 s does not fit"):
        codec.decode(codes)
    monkeypatch.setattr(engine._model, "encode", MemoryLimitedModule(None, 0))
    with pytest.raises(OutOfMemoryError, match=r"0\.3 s does not fit"):
        codec.encode_reference(CLIPS[7])


def test_it_holds_nothing_on_a_cpu_and_loads_before_work_begins(checkpoint: Path) -> None:
    codec = make_codec(checkpoint)
    with codec.ready("encoding a test"):
        assert codec._engine is not None
    assert pickle.loads(pickle.dumps(codec))._engine is None
    assert pickle.loads(pickle.dumps(codec)).revision == codec.revision


def test_a_gpu_that_is_released_has_no_memory_in_use(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the CPU in a GPU's place: what is done, in which order, and whether the lock is held meanwhile."""
    codec = make_codec(checkpoint, gpu_lock_dir=str(tmp_path))
    monkeypatch.setattr(codec, "_gpus", lambda: {"gpu-a": "cuda:0", "gpu-b": "cpu"})
    done: list[tuple[str, bool]] = []
    for name in ("restore", "offload"):
        monkeypatch.setattr(
            NeuCodecEngine,
            name,
            lambda _, name=name: done.append((name, read_gpu_holders(str(tmp_path)).get("gpu-b") is not None)),
        )
    with hold_gpu(["gpu-a"], "another's", str(tmp_path)), ThreadPoolExecutor(1) as elsewhere:
        elsewhere.submit(codec.encode, CLIPS[:1]).result()  # alone: it holds the free GPU and releases it
        assert done == [("offload", True)]
    with codec.ready("a batch"):  # both are free; the codec was on gpu-b before
        codec.decode(codec.encode(CLIPS[:1]))
        codec.encode_reference(CLIPS[0])
        assert done[1:] == [("restore", True)]
    assert done[2:] == [("offload", True)]
    assert read_gpu_holders(str(tmp_path))["gpu-b"] is None


def test_a_released_device_keeps_no_weights(checkpoint: Path) -> None:
    engine = make_codec(checkpoint, precision="bf16")._loaded()
    parts = (engine._model, engine._encoder, engine._features)
    tensors = [tensor for part in parts for tensor in (*part.parameters(), *part.buffers())]
    assert {tensor.device.type for tensor in tensors} == {"cpu"}
    engine.device = torch.device("meta")  # stands for a GPU
    engine.restore()
    assert {t.device.type for part in parts for t in (*part.parameters(), *part.buffers())} == {"meta"}
