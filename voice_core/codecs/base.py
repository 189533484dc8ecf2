"""The `Codec` protocol: mono audio to one stream of integer codes, and back."""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

Audio = npt.NDArray[np.float32]
"""Mono audio, shape [samples], full scale ±1.0."""
Codes = npt.NDArray[np.int32]
"""One codebook index a frame, shape [frames], each in [0, codebook_size)."""

Margins = npt.NDArray[np.float32]
"""Distance of each code from the nearest other code, shape [frames], in units of the quantiser's step."""


class CodecUnavailableError(RuntimeError):
    """The codec cannot be loaded: its package, weights or GPU are missing. The message says how to install them."""


class OutOfMemoryError(RuntimeError):
    """A single clip does not fit into the free memory of the device: it is too long, or another program uses the
    memory."""


@runtime_checkable
class Codec(Protocol):
    """Audio ↔ codes.

    `name` and `revision` together identify the mapping: two codecs that share both give the same codes
    for the same audio, so both are part of the fingerprint of everything that was encoded.
    """

    @property
    def name(self) -> str: ...
    @property
    def revision(self) -> str: ...
    @property
    def stand_in(self) -> bool:
        """True for a codec that only stands in for a real one; shown wherever its codes are."""
        ...

    @property
    def input_sample_rate_hz(self) -> int: ...
    @property
    def output_sample_rate_hz(self) -> int: ...
    @property
    def codes_per_sec(self) -> int: ...
    @property
    def codebook_size(self) -> int: ...

    def ready(self, purpose: str) -> AbstractContextManager[None]:
        """Hold what encoding needs, such as a GPU, which other processes of this machine cannot use meanwhile.

        A codec on the CPU holds nothing. Encoding and decoding work without it too, and hold a GPU for one call.
        `purpose` is shown to processes that wait for the GPU.
        """
        ...

    @property
    def device(self) -> str:
        """The device, such as "cpu" or "cuda: NVIDIA H200"; before loading, the device it would be loaded on."""
        ...

    @property
    def rechecked(self) -> int:
        """Clips that `encode` has encoded again by the plain path, since rounding could have changed a code."""
        ...

    @property
    def batch_sec(self) -> float:
        """The amount of audio per call at which `encode` is fastest, seconds."""
        ...

    def group_key(self, sample_count: int, sample_rate_hz: int) -> int:
        """Clips of one group, and of neighbouring ones, are encoded fastest together."""
        ...

    def code_count(self, sample_count: int, sample_rate_hz: int | None = None) -> int:
        """How many codes `encode` gives for a clip of `sample_count` samples (at `input_sample_rate_hz`, if None)."""
        ...

    def encode(self, clips: Sequence[Audio], sample_rate_hz: int | None = None) -> list[Codes]:
        """Encode clips at `sample_rate_hz` (at `input_sample_rate_hz`, if None): the codec resamples them itself.

        A clip's codes do not depend on the others. Raises ValueError, naming the clip, for audio that has no codes, and
        `OutOfMemoryError` where memory does not suffice for one clip now; another time it may.
        """
        ...

    def encode_reference(self, clip: Audio, sample_rate_hz: int | None = None) -> tuple[Codes, Margins]:
        """Encode one clip alone by the simplest implementation, which `encode` is compared with; it may be slow."""
        ...

    @property
    def max_margin(self) -> float:
        """The largest margin at which `encode` may give another code than `encode_reference`; 0 where it never may."""
        ...

    @property
    def min_agreement(self) -> float:
        """The share of codes in which `encode` and `encode_reference` must agree for a clip of a second or more."""
        ...

    def decode(self, codes: Sequence[Codes]) -> list[Audio]:
        """Decode to audio at `output_sample_rate_hz`, `len(codes) * output_sample_rate_hz / codes_per_sec`
        samples each."""
        ...


class CpuCodec:
    """The parts of `Codec` that a codec on the CPU shares with others, if it encodes each clip alone: it holds no GPU,
    and `encode` is its own reference."""

    stand_in = False
    device = "cpu"
    rechecked = 0
    batch_sec = 120.0
    max_margin = 0.0
    min_agreement = 1.0

    def encode(self, clips: Sequence[Audio], sample_rate_hz: int | None = None) -> list[Codes]:
        raise NotImplementedError

    def ready(self, purpose: str) -> AbstractContextManager[None]:
        return nullcontext()

    def group_key(self, sample_count: int, sample_rate_hz: int) -> int:
        return 0

    def encode_reference(self, clip: Audio, sample_rate_hz: int | None = None) -> tuple[Codes, Margins]:
        codes = self.encode([clip], sample_rate_hz)[0]
        return codes, np.ones(len(codes), np.float32)


def resampled_length(sample_count: int, from_hz: int, to_hz: int) -> int:
    """Samples of a clip after resampling.

    >>> resampled_length(24_001, 24_000, 16_000)
    16001
    """
    return -(-sample_count * to_hz // from_hz)


def validate_clip(clip: Audio, index: int) -> Audio:
    """The clip as float32. Raises ValueError, naming its index, for other than one-dimensional finite floats."""
    array = np.asarray(clip)
    if array.ndim != 1 or not np.issubdtype(array.dtype, np.floating):
        raise ValueError(
            f"Clip {index}: expected mono floats of shape [samples], got {array.dtype} of shape {array.shape}."
        )
    if not np.isfinite(array).all():
        at = int(np.flatnonzero(~np.isfinite(array))[0])
        raise ValueError(f"Clip {index}: sample {at} is {array[at]}; audio must be finite.")
    return array.astype(np.float32, copy=False)


def validate_codes(codes: Codes, index: int, codebook_size: int) -> Codes:
    """The codes as int32. Raises ValueError, naming their index, for other than integers in [0, codebook_size)."""
    array = np.asarray(codes)
    if array.ndim != 1 or not np.issubdtype(array.dtype, np.integer):
        raise ValueError(
            f"Codes {index}: expected integers of shape [frames], got {array.dtype} of shape {array.shape}."
        )
    outside = np.flatnonzero((array < 0) | (array >= codebook_size))
    if len(outside):
        at = int(outside[0])
        raise ValueError(f"Codes {index}: code {array[at]} at frame {at} is outside 0…{codebook_size - 1}.")
    return array.astype(np.int32, copy=False)
