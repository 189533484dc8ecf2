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


class CodecUnavailableError(RuntimeError):
    """The codec cannot be loaded: its package or weights are missing. The message says how to get them."""


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

    def code_count(self, sample_count: int) -> int:
        """How many codes `encode` gives for a clip of `sample_count` samples at `input_sample_rate_hz`."""
        ...

    def encode(self, clips: Sequence[Audio]) -> list[Codes]:
        """Encode clips at `input_sample_rate_hz`. A clip's codes do not depend on the others in the batch."""
        ...

    def decode(self, codes: Sequence[Codes]) -> list[Audio]:
        """Decode to audio at `output_sample_rate_hz`, `len(codes) * output_sample_rate_hz / codes_per_sec`
        samples each."""
        ...
