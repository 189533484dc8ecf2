"""NeuCodec as a `Codec`. Torch is imported when a clip is first encoded or decoded."""

import logging
import threading
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

from voice_core.codecs.base import (
    Audio,
    CodecUnavailableError,
    Codes,
    Margins,
    resampled_length,
    validate_clip,
    validate_codes,
)
from voice_core.codecs.neucodec.checkpoint import INSTALL, locate_weights, weights_revision
from voice_core.compute.gpu_lock import hold_gpu
from voice_core.compute.gpus import GpuUnavailableError, list_torch_gpus, load_gpu_profile
from voice_core.settings import NeuCodecSettings

if TYPE_CHECKING:
    from voice_core.codecs.neucodec.engine import NeuCodecEngine

ALGORITHM = "1"
"""Raise when a change here alters the codes of any audio; part of `NeuCodec.revision`."""
HOP = 320
_MAX_MARGIN = {"fp32": 1e-3, "tf32": 0.1, "bf16": float("inf"), "fp16": float("inf")}
"""The largest distance from a rounding boundary at which the plain path may give another code. Far above the
differences that rounding caused, far below those of padding or a wrong length. Half precision differs by whole steps
now and then, so `MIN_AGREEMENT` is the limit for it instead."""
MIN_AGREEMENT = {"fp32": 0.0, "tf32": 0.0, "bf16": 0.3, "fp16": 0.5}
"""The share of a clip's codes in which the plain path must agree: about half of the measured agreement of a small
model with random weights, 0.62 in bf16 and 0.96 in fp16. Not yet measured with the published weights."""
_CPU_BATCH_SEC = 120.0
_GPU_BATCH_SEC = 240.0  # of a GPU without a pool: fits into 16 GB

_log = logging.getLogger(__name__)


class NeuCodec:
    """50 codes a second of 0…65535, 16 kHz in and 24 kHz out (https://github.com/neuphonic/neucodec).

    In fp32, the default, the codes are those of the reference's `encode_code` for each clip alone. Other precisions
    give different codes now and then, and have another `revision`.
    """

    name = "neucodec"
    stand_in = False
    input_sample_rate_hz = 16_000
    output_sample_rate_hz = 24_000
    codes_per_sec = 50
    codebook_size = 65_536

    def __init__(self, settings: NeuCodecSettings) -> None:
        self.settings = settings
        self._profile = load_gpu_profile(settings.pool, settings.gpu_profiles) if settings.pool else None
        self.precision = (
            self._profile.choose_precision(settings.precision) if self._profile else settings.precision or "fp32"
        )
        self._engine: NeuCodecEngine | None = None
        self._owner_thread = 0  # the thread that holds a GPU by `ready`

    def __getstate__(self) -> dict[str, Any]:
        """Other processes load their own weights."""
        return {**self.__dict__, "_engine": None, "_owner_thread": 0}

    @cached_property
    def revision(self) -> str:
        weights = weights_revision(self.settings.checkpoint, self.settings.revision)
        return f"{ALGORITHM}-{weights}-{self.precision}"

    @property
    def max_margin(self) -> float:
        return _MAX_MARGIN[self.precision]

    @property
    def min_agreement(self) -> float:
        return MIN_AGREEMENT[self.precision]

    @property
    def device(self) -> str:
        on = str(self._engine.device) if self._engine is not None else next(iter(self._gpus().values()), "cpu")
        return on if on == "cpu" else f"cuda: {_torch().cuda.get_device_name(on)}"

    @property
    def rechecked(self) -> int:
        return self._engine.rechecked if self._engine is not None else 0

    @property
    def batch_sec(self) -> float:
        if self.settings.batch_sec:
            return self.settings.batch_sec
        if self.settings.device == "cpu":
            return _CPU_BATCH_SEC
        return self._profile.batch_sec if self._profile else _GPU_BATCH_SEC

    @contextmanager
    def ready(self, purpose: str) -> Iterator[None]:
        """Load the weights onto the first GPU that is free, and keep it from other processes of this machine.

        When the GPU is released, the weights move to the host's memory, from where the next batch of this process
        loads them. Compiled kernels are kept.
        """
        if self._owner_thread == threading.get_ident():
            yield
            return
        gpus = self._gpus()
        if not gpus:
            self._load("cpu")
            yield
            return
        before = str(self._engine.device) if self._engine is not None else ""
        with hold_gpu(sorted(gpus, key=lambda name: gpus[name] != before), purpose, self.settings.gpu_lock_dir) as name:
            try:
                self._load(gpus[name])
                self._owner_thread = threading.get_ident()
                yield
            finally:
                self._owner_thread = 0
                if self._engine is not None:
                    self._engine.offload()

    def group_key(self, sample_count: int, sample_rate_hz: int) -> int:
        """Clips with as many codes form one batch, without padding."""
        return self.code_count(sample_count, sample_rate_hz)

    def code_count(self, sample_count: int, sample_rate_hz: int | None = None) -> int:
        """floor(samples at 16 kHz / 320): a clip of less than 20 ms has none.

        >>> codec = NeuCodec(NeuCodecSettings())
        >>> [codec.code_count(n) for n in (0, 319, 320, 16_000)], codec.code_count(24_000, 24_000)
        ([0, 0, 1, 50], 50)
        """
        return (
            resampled_length(sample_count, sample_rate_hz or self.input_sample_rate_hz, self.input_sample_rate_hz)
            // HOP
        )

    def encode(self, clips: Sequence[Audio], sample_rate_hz: int | None = None) -> list[Codes]:
        checked = [validate_clip(clip, index) for index, clip in enumerate(clips)]
        with self._loaded_engine("encoding") as engine:
            return engine.encode(checked, sample_rate_hz or self.input_sample_rate_hz)

    def encode_reference(self, clip: Audio, sample_rate_hz: int | None = None) -> tuple[Codes, Margins]:
        """Encode with transformers' own forward pass and feature extractor, in single precision."""
        checked = validate_clip(clip, 0)
        with self._loaded_engine("encoding") as engine:
            return engine.encode_reference(checked, sample_rate_hz or self.input_sample_rate_hz)

    def decode(self, codes: Sequence[Codes]) -> list[Audio]:
        checked = [validate_codes(item, index, self.codebook_size) for index, item in enumerate(codes)]
        with self._loaded_engine("decoding") as engine:
            return engine.decode(checked, self.batch_sec / 4)

    def _gpus(self) -> dict[str, str]:
        """The GPUs that the codec may run on, by UUID: torch's name of each. Empty where it runs on the CPU."""
        wanted = self.settings.device
        pool = self.settings.pool
        why = f"the pool {pool}" if wanted == "auto" else f"neucodec.device={wanted}"
        try:
            return list_torch_gpus(wanted, f"{why} asks for a GPU", required=bool(pool))
        except GpuUnavailableError as error:
            raise CodecUnavailableError(f"{error}. VOICE_NEUCODEC__DEVICE=cpu runs on the CPU") from None
        except (ImportError, OSError) as error:
            raise _unavailable(error) from None

    @contextmanager
    def _loaded_engine(self, purpose: str) -> Iterator["NeuCodecEngine"]:
        """Outside of `ready`, each call holds a GPU for its own duration."""
        with self.ready(purpose):
            assert self._engine is not None
            yield self._engine

    def _loaded(self) -> "NeuCodecEngine":
        with self._loaded_engine("loading") as engine:
            return engine

    def _load(self, device: str) -> None:
        torch = _torch()
        if self._engine is not None and str(self._engine.device) == device:
            self._engine.restore()
            return
        self._engine = None  # first free the weights on the other device
        try:
            from voice_core.codecs.neucodec.engine import NeuCodecEngine
        except (ImportError, OSError, RuntimeError) as error:  # the last two: a package that is built for another torch
            raise _unavailable(error) from None
        folder = locate_weights(self.settings.checkpoint, self.settings.revision)
        if weights_revision(self.settings.checkpoint, self.settings.revision) not in self.revision:
            raise CodecUnavailableError(f"the weights in {folder} were replaced while the program ran: run it again")
        _log.info("loading NeuCodec %s onto %s", self.revision, device)
        self._engine = NeuCodecEngine.load(
            folder,
            torch.device(device),
            self.precision,
            batch_sec=self.batch_sec,
            compiled=self.settings.compile,
        )


def _torch() -> Any:
    try:
        import torch
    except (ImportError, OSError) as error:
        raise _unavailable(error) from None
    return torch


def _unavailable(error: Exception) -> CodecUnavailableError:
    hint = ""
    missing = isinstance(error, ModuleNotFoundError)
    if not missing and "torchaudio" in f"{error} {traceback.format_tb(error.__traceback__)}":
        hint = f" The installed torchaudio does not load with this torch. {_torchaudio_remedy()}"
    return CodecUnavailableError(f"the codec neucodec cannot be loaded ({error}). It needs its extra: {INSTALL}.{hint}")


def _torchaudio_remedy() -> str:
    """How to install the torchaudio for the torch that is installed: both come from the same package index."""
    try:
        build = version("torch").partition("+")[2]  # cpu, cu126 …; "" for the wheel of PyPI
    except PackageNotFoundError:
        build = ""
    origin = f", from the package index that torch came from (its build is {build})" if build else ""
    return f"Install the one that is built for the same accelerator: pip install --force-reinstall torchaudio{origin}"
