"""GPUs: what each pool of them is used for and how (one file declares it), and those that torch has here."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path

from pydantic import ConfigDict, TypeAdapter, ValidationError

from voice_core.settings import ConfigurationError, Precision


@dataclass(frozen=True, slots=True)
class GpuProfile:
    """The GPUs that the steps of a pool run on.

    `limit` is the number of steps at a time over all machines, `batch_sec` the audio encoded at once in seconds.
    `refused` gives the reason why a precision is not among `precisions`.
    """

    __pydantic_config__ = ConfigDict(extra="forbid")

    pool: str
    limit: int
    batch_sec: float
    precision: Precision
    precisions: tuple[Precision, ...]
    refused: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.limit < 1 or self.batch_sec <= 0:
            raise ValueError("limit and batch_sec must be positive")
        if self.precision not in self.precisions:
            raise ValueError(f"precision is {self.precision}, which is not among precisions")

    def choose_precision(self, precision: str) -> Precision:
        """The requested precision, or the profile's default for "".

        Raises ConfigurationError for a precision that the profile does not allow.
        """
        for allowed in self.precisions:
            if allowed == (precision or self.precision):
                return allowed
        why = self.refused.get(precision, "the pool's profile does not list it")
        raise ConfigurationError(
            f"{precision} is not allowed on GPUs of the pool {self.pool}: {why}. "
            f"Allowed: {', '.join(self.precisions)} (VOICE_NEUCODEC__PRECISION; {self.precision} if empty)"
        )


_Profiles = TypeAdapter(dict[str, GpuProfile])


def load_gpu_profiles(file: str = "") -> dict[str, GpuProfile]:
    """All profiles by pool, from the file that the setting `gpu_profiles` names, or the packaged one.

    Raises ConfigurationError if the file cannot be read or is invalid.
    """
    source = Path(file) if file else files("voice_core.compute").joinpath("gpus.toml")
    try:
        tables = tomllib.loads(source.read_text("utf-8"))
        return _Profiles.validate_python({pool: {"pool": pool, **table} for pool, table in tables.items()})
    except ValidationError as error:
        wrong = "\n".join(f"  {'.'.join(map(str, item['loc']))}: {item['msg']}" for item in error.errors())
        raise ConfigurationError(f"the GPU profiles in {source} are invalid:\n{wrong}") from None
    except (OSError, ValueError, TypeError) as error:
        raise ConfigurationError(f"the GPU profiles in {source} cannot be read: {error}") from None


def load_gpu_profile(pool: str, file: str = "") -> GpuProfile:
    """The profile of a pool. Raises ConfigurationError for an unknown pool."""
    known = load_gpu_profiles(file)
    if pool not in known:
        raise ConfigurationError(
            f'there is no GPU pool "{pool}"; known pools: {", ".join(known)} (VOICE_GPU_PROFILES names the file)'
        )
    return known[pool]


class GpuUnavailableError(RuntimeError):
    """A GPU is asked for that torch does not have."""


def list_torch_gpus(device: str, wanted_by: str, *, required: bool = False) -> dict[str, str]:
    """The GPUs that `device` ("auto", "cuda", "cuda:N" or another) allows, by UUID: torch's name of each.

    Empty for another device, and for "auto" without a GPU unless one is `required`. `wanted_by` begins the message of
    GpuUnavailableError, which is raised where torch does not have the GPU; torch's own errors where it cannot be
    imported.
    """
    if device not in ("auto", "cuda") and not device.startswith("cuda:"):
        return {}
    import torch

    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if not count and device == "auto" and not required:
        return {}
    numbers = range(count) if device in ("auto", "cuda") else [int(device.removeprefix("cuda:"))]
    if not numbers or numbers[-1] >= count:
        found = f"sees {count} GPU{'' if count == 1 else 's'}" + (f", the last is cuda:{count - 1}" if count else "")
        raise GpuUnavailableError(f"{wanted_by}, and torch {torch.__version__} {found}")
    return {f"GPU-{torch.cuda.get_device_properties(number).uuid}": f"cuda:{number}" for number in numbers}
