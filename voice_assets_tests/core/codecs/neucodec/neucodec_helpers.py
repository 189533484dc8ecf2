"""Clips, codecs of the small model, and little memory."""

from pathlib import Path
from typing import Any

import torch

from voice_assets_tests.core.codecs.original_neucodec import synthetic_speech
from voice_core.codecs.neucodec import NeuCodec
from voice_core.settings import NeuCodecSettings


def make_codec(checkpoint: Path, **options: Any) -> NeuCodec:
    return NeuCodec(NeuCodecSettings(checkpoint=str(checkpoint), **{"device": "cpu", **options}))


CLIPS = [
    synthetic_speech(seconds, 100 + index)
    for index, seconds in enumerate((0.5, 2, 1, 2, 3.3, 2, 1.02, 0.3, 5, 2, 1, 4))
]


class MemoryLimitedModule:
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
