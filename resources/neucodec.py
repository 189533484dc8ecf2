"""NeuCodec as a Dagster resource."""

from typing import Any

import dagster as dg
from pydantic import Field

from voice_core.codecs.neucodec import NeuCodec
from voice_core.settings import Settings


class NeuCodecResource(dg.ConfigurableResource):
    """Weights and device. Empty fields come from the settings (VOICE_NEUCODEC__*)."""

    checkpoint: str = Field(default="", description="Hub id of the weights, or a folder with them.")
    revision: str = Field(default="", description="Commit of the hub's repository.")
    device: str = Field(default="", description="auto, cpu, cuda (any free GPU) or cuda:N.")
    pool: str = Field(default="", description="The GPUs' pool, whose profile gives precision and batch budget.")
    precision: str = Field(default="", description="fp32 (the reference's codes), tf32, bf16 or fp16.")
    batch_sec: float | None = Field(
        default=None, description="Audio encoded at once, seconds; 0 for the value of the pool's profile."
    )
    compile: bool | None = Field(default=None, description="Compile both encoders with torch.compile.")

    def overrides(self) -> dict[str, Any]:
        """The settings that are given here."""
        given = {name: getattr(self, name) for name in NeuCodecResource.model_fields}
        return {name: value for name, value in given.items() if value not in ("", None)}

    def load(self) -> NeuCodec:
        """The codec, without its weights: these are loaded on first use.

        Raises ConfigurationError for invalid values; the codec raises CodecUnavailableError, when it is used,
        where the extra, the weights or a GPU are missing.
        """
        return NeuCodec(Settings.load(neucodec=self.overrides()).neucodec)
