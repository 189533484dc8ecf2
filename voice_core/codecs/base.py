"""What a codec is: audio in, one stream of integer codes out, and back."""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

Audio = npt.NDArray[np.float32]
"""Mono audio, shape [samples], full scale ±1.0."""
Codes = npt.NDArray[np.int32]
"""One codebook index a frame, shape [frames], each in [0, codebook_size)."""

Margins = npt.NDArray[np.float32]
"""How far each code was from being another one, shape [frames], in units of its quantiser's step."""


class CodecUnavailableError(RuntimeError):
    """The codec cannot be loaded: its package or weights are missing. The message says how to get them."""


class OutOfMemoryError(RuntimeError):
    """The device has no memory left for a clip, even by itself: it is too long, or another program has the memory."""


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
        """Hold what encoding needs for as long as it is needed: a GPU that no other process of this machine may use.

        A codec that runs on the CPU holds nothing. Encoding and decoding outside of it work too, and hold nothing
        beyond the call. `purpose` says what for, to those who wait.
        """
        ...

    @property
    def device(self) -> str:
        """What it runs on: "cpu", or "cuda: NVIDIA H200". Where it is not loaded yet, what it would run on first."""
        ...

    @property
    def rechecked(self) -> int:
        """Clips so far that `encode` gave to the plain path, since rounding might have decided one of their codes."""
        ...

    @property
    def batch_sec(self) -> float:
        """How much audio `encode` is best handed at once, seconds."""
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
        """What the plainest implementation makes of one clip by itself, however slow: what `encode` is held against."""
        ...

    @property
    def max_margin(self) -> float:
        """The largest margin at which `encode` may give another code than `encode_alone`; 0 where it never may."""
        ...

    @property
    def min_agreement(self) -> float:
        """The share of codes in which `encode` and `encode_alone` must agree, for every clip of a second or more."""
        ...

    def decode(self, codes: Sequence[Codes]) -> list[Audio]:
        """Decode to audio at `output_sample_rate_hz`, `len(codes) * output_sample_rate_hz / codes_per_sec`
        samples each."""
        ...


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
