"""IndexTTS2 as a Dagster resource."""

from typing import Any

import dagster as dg
from pydantic import Field

from voice_core.settings import Settings
from voice_core.tts.indextts2 import IndexTTS2Engine


class IndexTTS2Resource(dg.ConfigurableResource):
    """Weights, voices and options. Fields that are not given come from the settings (VOICE_INDEXTTS2__*)."""

    model_dir: str = Field(default="", description="Folder of the weights.")
    cfg_path: str = Field(default="", description="Its configuration; config.yaml in that folder when empty.")
    device: str = Field(default="", description="auto, cpu, cuda (any free GPU), cuda:N or mps.")
    use_fp16: bool | None = Field(default=None, description="Half precision on a GPU: half the memory.")
    use_cuda_kernel: bool | None = Field(default=None, description="The vocoder's own CUDA kernel.")
    use_deepspeed: bool | None = Field(default=None, description="Generate with DeepSpeed.")
    use_accel: bool | None = Field(default=None, description="Generate with the package's acceleration engine.")
    use_torch_compile: bool | None = Field(default=None, description="Compile the mel decoder.")
    use_qwen_emo: bool | None = Field(default=None, description="Load the model for emotions given as a description.")
    aux_paths: dict[str, str] = Field(default={}, description="Paths of the weights of auxiliary models.")
    voices: dict[str, str] = Field(default={}, description="Name of a voice → its recording; the first is the default.")
    languages: list[str] = Field(default=[], description="Languages of the weights, BCP-47.")
    emo_alpha: float | None = Field(default=None, description="Strength of emotions, 0 to 1.")
    use_random: bool | None = Field(default=None, description="Take an emotion from a random speaker.")
    interval_silence: int | None = Field(default=None, description="Silence between the parts of a long text, ms.")
    max_text_tokens_per_segment: int | None = Field(default=None, description="Longest part of a text, tokens.")
    more_segment_before: int | None = Field(default=None, description="Tokens of the first part when streaming.")
    verbose: bool | None = Field(default=None, description="Verbose log messages of the package.")
    gpu_lock_dir: str = Field(default="", description="Folder of the GPU locks.")
    local_dir: str = Field(default="", description="Folder for copies of recordings.")
    generation: dict[str, Any] = Field(default={}, description="num_beams, top_p, top_k, temperature and the like.")

    def overrides(self) -> dict[str, Any]:
        """The settings that are given here."""
        given = {name: getattr(self, name) for name in IndexTTS2Resource.model_fields}
        return {name: value for name, value in given.items() if value not in ("", None, {}, [])}

    def load(self) -> IndexTTS2Engine:
        """The engine, without its weights: these are loaded on first use.

        Raises ConfigurationError for invalid values; the engine raises EngineUnavailableError, when it is used,
        where the package, the weights or a GPU are missing.
        """
        return IndexTTS2Engine(Settings.load(indextts2=self.overrides()).indextts2)
