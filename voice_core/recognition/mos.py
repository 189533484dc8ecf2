"""Predictors of the mean opinion score (MOS) of speech by name: how listeners would rate it, from 1 (bad) to 5."""

import contextlib
import io
from functools import cache, cached_property
from typing import Any, Protocol, runtime_checkable

import numpy as np

from voice_core.audio.pcm import Pcm16, resample, to_float
from voice_core.registry import UnknownNameError, load_registered
from voice_core.settings import ConfigurationError

_RATE_HZ = 16_000
_DIGITS = 3  # of a score; further ones are noise


@runtime_checkable
class MosPredictor(Protocol):
    """Speech → its score. `revision` changes with the weights."""

    @property
    def name(self) -> str: ...

    @property
    def revision(self) -> str: ...

    def score(self, pcm: Pcm16, sample_rate_hz: int) -> float: ...


class DistillMos:
    """The package distillmos, on the CPU. It has its weights and downloads nothing."""

    name = "distillmos"
    revision = "0.9"  # of the package

    def __init__(self) -> None:
        import distillmos

        self._package = distillmos

    def score(self, pcm: Pcm16, sample_rate_hz: int) -> float:
        import torch

        audio = np.ascontiguousarray(resample(to_float(pcm), sample_rate_hz, _RATE_HZ))
        with torch.inference_mode():
            return round(float(self._model(torch.from_numpy(audio)[None])), _DIGITS)

    @cached_property
    def _model(self) -> Any:
        with contextlib.redirect_stdout(io.StringIO()):  # it prints where its weights are
            return self._package.ConvTransformerSQAModel().eval()


PREDICTORS: dict[str, str | type] = {"distillmos": "voice_core.recognition.mos:DistillMos"}
"""Where the class of each predictor is."""
ENTRY_POINTS = "voice_data_factory.mos_predictors"
"""The group of entry points by which other packages provide classes of predictors."""


@cache
def load_mos_predictor(name: str, setting: str) -> MosPredictor:
    """The predictor called `name`, once in each process.

    Raises ConfigurationError, which names the setting, for an unknown name and where a package is missing.
    """
    try:
        found = load_registered(PREDICTORS, ENTRY_POINTS, name, type, "MOS predictor")()
    except UnknownNameError as error:
        raise ConfigurationError(f"{setting}: {error}") from None
    except (ImportError, OSError) as error:  # OSError: a torchaudio that was built for another torch
        raise ConfigurationError(
            f"{setting} is {name}, which cannot be loaded ({error}): "
            "`pip install 'voice-data-factory[mos]'`, with torch and torchaudio of the same build"
        ) from None
    if not isinstance(found, MosPredictor):
        raise ConfigurationError(f"{setting} is {name}, which lacks name, revision or score")
    return found
