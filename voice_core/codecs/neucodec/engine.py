"""NeuCodec loaded onto one device: batches of clips to codes."""

import contextlib
import functools
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torchaudio.transforms import Resample
from transformers import NeuCodecModel, SeamlessM4TFeatureExtractor
from transformers.utils.logging import disable_progress_bar

from voice_core.codecs.base import Audio, CodecUnavailableError, Codes, Margins, resampled_length
from voice_core.codecs.neucodec.features import Features
from voice_core.codecs.neucodec.memory import split_on_oom
from voice_core.codecs.neucodec.network import Encoder, margin
from voice_core.compute.workers import core_count

HOP, INPUT_HZ = 320, 16_000
DTYPES = {"fp32": torch.float32, "tf32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
TOLERANCE = 2e-5
"""A clip with a value nearer than this to a rounding boundary is encoded again by the plain path. It is five times
the largest difference measured when only the activations summed in another order. Differing codes become rare, not
impossible: the plain path itself differs by up to 3e-5 between one thread and two, and the difference on a GPU has
not been measured (`python -m benchmarks neucodec_exactness` measures both). On x86, with one thread per clip, there is
no difference."""


class _NotFiniteError(ValueError):
    """The encoder gives values for a clip that are not finite."""


class NeuCodecEngine:
    """`precision` is one of `DTYPES`. Not safe for use by several threads at once."""

    def __init__(
        self,
        model: NeuCodecModel,
        device: torch.device,
        precision: str,
        *,
        batch_sec: float,
        compiled: bool = False,
    ) -> None:
        self.device = device
        self.precision = precision
        self.rechecked = 0  # clips encoded again by the plain path, since a value was near a rounding boundary
        self._model = model.eval().requires_grad_(False).to(device)
        self._extractor = SeamlessM4TFeatureExtractor(padding_value=1)
        self._features = Features(self._extractor).to(device)
        self._encoder = Encoder(self._model, DTYPES[precision]).eval()
        self._most_samples = int(batch_sec * INPUT_HZ)
        self._latents = threading.local()  # on a CPU several threads use the one model
        self._model.quantizer.project_in.register_forward_hook(self._store_latent)
        if compiled:
            self._encoder.compile()
        exact = precision == "fp32" and device.type == "cpu" and not compiled and self._is_bit_exact()
        self.tolerance = 0.0 if exact else TOLERANCE

    @classmethod
    def load(
        cls, folder: Path, device: torch.device, precision: str, *, batch_sec: float, compiled: bool
    ) -> "NeuCodecEngine":
        """Read the weights of a folder in transformers' layout. Raises `CodecUnavailableError` unless all are there."""
        disable_progress_bar()  # it takes a second, and would be in the log of every run
        loaded: Any = NeuCodecModel.from_pretrained(
            folder,
            dtype=torch.float32,
            local_files_only=True,
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # they are reported below, as missing weights are
        )
        model, found = loaded
        told = {item[0] for item in found["mismatched_keys"]}  # the names, without the two shapes
        # A buffer that is not stored is computed; a parameter that is not stored would be random.
        wanting = sorted({*found["missing_keys"], *told} & dict(model.named_parameters()).keys())
        if wanting:
            raise CodecUnavailableError(
                f"{len(wanting)} weights of NeuCodec are not in {folder}, or have another shape there: "
                f"{', '.join(wanting[:3])}{', …' if wanting[3:] else ''}. Download the whole checkpoint again"
            )
        return cls(model, device, precision, batch_sec=batch_sec, compiled=compiled)

    def offload(self) -> None:
        """Move the weights from the GPU to the host's memory, and free the GPU memory that torch has cached."""
        if self.device.type != "cpu":
            self._move(torch.device("cpu"))
        if self.device.type == "cuda":
            torch.cuda.empty_cache()

    def restore(self) -> None:
        """Move the weights back to the device."""
        self._move(self.device)

    def _move(self, device: torch.device) -> None:
        # They share some parts, and each has buffers of its own.
        for part in (self._model, self._encoder, self._features):
            part.to(device)

    def _store_latent(self, _: nn.Module, __: object, value: Tensor) -> None:
        self._latents.value = value

    def _is_bit_exact(self) -> bool:
        """Whether a second of noise gives the same bits as the plain path: then no code has to be checked."""
        noise = 0.1 * np.random.default_rng(0).standard_normal(INPUT_HZ, np.float32)
        with self._inference(self.precision):
            audio = self._padded([noise], INPUT_HZ)
            _, margins = self._encoder(audio, self._features(audio))
            _, plain = self._alone(noise, INPUT_HZ)
        return np.array_equal(margins[0].numpy(), plain)

    def encode(self, clips: Sequence[Audio], sample_rate_hz: int) -> list[Codes]:
        """Codes of finite mono clips, in order. Raises ValueError for a clip that has no codes in this precision."""
        found: list[Codes | None] = [np.empty(0, np.int32)] * len(clips)
        groups: dict[int, list[int]] = defaultdict(list)
        for index, clip in enumerate(clips):
            groups[resampled_length(len(clip), sample_rate_hz, INPUT_HZ) // HOP].append(index)
        groups.pop(0, None)  # shorter than one code

        def one(indices: Sequence[int]) -> None:
            batch = [clips[index] for index in indices]
            for index, codes in zip(indices, self._group(batch, sample_rate_hz), strict=True):
                found[index] = codes

        with self._inference(self.precision):
            self._each(groups, one)
        whole = [codes for codes in found if codes is not None]
        if len(whole) < len(found):
            first = next(index for index, codes in enumerate(found) if codes is None)
            raise ValueError(f"Clip {first}: the encoder gives values that are not finite in {self.precision}")
        return whole

    @contextmanager
    def _inference(self, precision: str) -> Iterator[None]:
        """On a CPU, use one thread per clip: with another number of threads, sums are in another order."""
        threads = torch.get_num_threads()
        try:  # the number belongs to the thread, but new threads start with the one that was set last
            if self.device.type == "cpu":
                torch.set_num_threads(1)
            with torch.inference_mode(), float32_precision(precision):
                yield
        finally:
            torch.set_num_threads(threads)

    def _each(self, groups: Mapping[int, list[int]], work: Callable[[Sequence[int]], None]) -> None:
        """Process items of equal length together; on a CPU each alone, the longest first: there a batch is not faster
        than its clips one by one, and its tensors do not fit into the cache."""
        if self.device.type == "cpu":
            _map_on_cores(lambda index: work([index]), [i for length in sorted(groups)[::-1] for i in groups[length]])
        else:
            for group in groups.values():
                work(group)

    def _group(self, clips: Sequence[Audio], sample_rate_hz: int) -> Iterator[Codes | None]:
        """Clips with the same number of codes, as many at a time as fit into memory."""
        length = max(1, resampled_length(len(clips[0]), sample_rate_hz, INPUT_HZ))

        def halved(count: int) -> None:
            self._most_samples = min(self._most_samples, count // 2 * length)

        at_once = max(1, min(self._most_samples // length, self._indexable(length)))
        for start in range(0, len(clips), at_once):
            yield from split_on_oom(
                lambda some: self._batch(some, sample_rate_hz),
                clips[start : start + at_once],
                length / INPUT_HZ,
                self.device,
                halved,
            )

    def _indexable(self, length: int) -> int:
        """The number of clips whose largest activations, those of the first block, CUDA's kernels can index: replicate
        padding rejects 2**31 elements and more. A clip is at most one code longer there, with some padding."""
        channels = self._model.acoustic_encoder.conv1.out_channels
        return (2**31 - 1) // (channels * (length + 2 * HOP))

    def _batch(self, clips: Sequence[Audio], sample_rate_hz: int) -> list[Codes | None]:
        """None for a clip for which the quantiser was given values that are not finite."""
        audio = self._padded(clips, sample_rate_hz)
        codes, margins = self._encoder(audio, self._features(audio))
        sound = torch.isfinite(self._take_latents()).flatten(1).all(-1)
        made: list[Codes | None] = [*codes.cpu().numpy()]
        again = ~sound | (margins.amin(-1) < self.tolerance) if self.precision == "fp32" else ~sound
        for index in torch.nonzero(again).flatten().tolist():
            made[index] = None
            if self.precision == "fp32":
                with contextlib.suppress(_NotFiniteError):
                    made[index], _ = self._alone(clips[index], sample_rate_hz)
                self.rechecked += 1
        return made

    def encode_reference(self, clip: Audio, sample_rate_hz: int) -> tuple[Codes, Margins]:
        """Encode one clip by transformers' own forward pass and feature extraction, in single precision. Also returns
        the distance of the nearest of each code's eight values from a rounding boundary."""
        if resampled_length(len(clip), sample_rate_hz, INPUT_HZ) < HOP:
            return np.empty(0, np.int32), np.empty(0, np.float32)
        with self._inference("fp32"):
            seconds = len(clip) / sample_rate_hz
            return split_on_oom(lambda some: [self._alone(some[0], sample_rate_hz)], [clip], seconds, self.device)[0]

    def _alone(self, clip: Audio, sample_rate_hz: int) -> tuple[Codes, Margins]:
        audio = self._padded([clip], sample_rate_hz)
        heard = self._extractor(audio.cpu().numpy(), sampling_rate=INPUT_HZ, return_tensors="pt").input_features
        found = self._model.encode(audio[:, None], heard.to(self.device), return_dict=True).audio_codes
        rounded = self._take_latents()
        if not torch.isfinite(rounded).all():
            raise _NotFiniteError("the plain path gives values that are not finite")
        margins = margin(self._model.quantizer, rounded)
        return found[0, 0].int().cpu().numpy(), margins[0].float().cpu().numpy()

    def _take_latents(self) -> Tensor:
        """The values of this thread's last clips before they were bounded and rounded, [clips, codes, 8]: bounding
        would hide infinite values."""
        value: Tensor = self._latents.value
        del self._latents.value
        return value

    def _padded(self, clips: Sequence[Audio], sample_rate_hz: int) -> Tensor:
        """Clips at 16 kHz, each padded with 1 to 320 zeros to the next whole code, as the reference pads."""
        counts = [resampled_length(len(clip), sample_rate_hz, INPUT_HZ) for clip in clips]
        longest = max(map(len, clips))
        stacked = np.zeros((len(clips), longest), np.float32)
        for row, clip in zip(stacked, clips, strict=True):
            row[: len(clip)] = clip
        audio = _resampler(sample_rate_hz, self.device)(torch.from_numpy(stacked).to(self.device))
        width = (counts[0] // HOP + 1) * HOP
        audio = nn.functional.pad(audio, (0, width - audio.shape[-1]))
        if sample_rate_hz != INPUT_HZ or len(clips) > 1:  # a filter rings beyond the end of a shorter clip
            ends = torch.tensor(counts, device=self.device)[:, None]
            audio = audio * (torch.arange(width, device=self.device) < ends)
        return audio

    def decode(self, codes: Sequence[Codes], seconds_at_once: float) -> list[Audio]:
        """Audio at 24 kHz; arrays of equal length together."""
        found: list[Audio] = [np.empty(0, np.float32)] * len(codes)
        groups: dict[int, list[int]] = defaultdict(list)
        for index, item in enumerate(codes):
            groups[len(item)].append(index)
        groups.pop(0, None)

        def some(indices: Sequence[int]) -> None:
            seconds = len(codes[indices[0]]) * HOP / INPUT_HZ
            at_once = max(1, int(seconds_at_once / seconds))
            for start in range(0, len(indices), at_once):
                now = indices[start : start + at_once]
                clips = split_on_oom(self._decode_batch, [codes[index] for index in now], seconds, self.device)
                for index, clip in zip(now, clips, strict=True):
                    found[index] = clip

        with self._inference("fp32"):
            self._each(groups, some)
        return found

    def _decode_batch(self, codes: Sequence[Codes]) -> list[Audio]:
        stacked = torch.from_numpy(np.stack(codes)).long().to(self.device)
        return [*self._model.decode(stacked[:, None], return_dict=True).audio_values[:, 0].cpu().numpy()]


@functools.lru_cache(maxsize=16)
def _resampler(from_hz: int, device: torch.device) -> nn.Module:
    """From `from_hz` to 16 kHz, as the reference resamples files: float audio [clips, samples] → [clips, samples].

    The filters are computed on the CPU, so that they are the same for every device.
    """
    with torch.inference_mode(False):  # the filters are used outside of the mode of the first call, too
        return Resample(from_hz, INPUT_HZ).to(device)


@contextmanager
def float32_precision(precision: str) -> Iterator[None]:
    """Let matrix products and convolutions use TF32 or full single precision, with deterministic kernels."""
    tf32 = precision == "tf32"
    before = torch.backends.cuda.matmul.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = tf32
    try:
        with torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=tf32):
            yield
    finally:
        torch.backends.cuda.matmul.allow_tf32 = before


def _map_on_cores(work: Callable[[int], None], items: Sequence[int]) -> None:
    """Process one clip per core. Cores that share a clip wait for the slowest after each of thousands of operations,
    which takes several times as long on a busy machine."""
    cores = core_count()
    if min(cores, len(items)) <= 1:
        for item in items:
            work(item)
        return

    def inference(item: int) -> None:  # the mode belongs to the thread
        with torch.inference_mode():
            work(item)

    with ThreadPoolExecutor(cores, "neucodec", initializer=lambda: torch.set_num_threads(1)) as pool:
        list(pool.map(inference, items))
