"""Settings of speech synthesis, and of engines."""

from typing import Any

from pydantic import Field

from voice_core.settings.base import SettingsGroup


class SpeechSettings(SettingsGroup):
    """The engine that speaks scripts."""

    engine: str = Field("hibari", description="Speech engine: hibari (embedded, English), noise or indextts2.")
    options: dict[str, Any] = Field(
        default_factory=dict,
        description="Settings of an engine that has no group of its own, such as one of another package. JSON object.",
    )
    pool: str = Field(
        "", pattern=r"^[A-Za-z0-9_]*$", description="Dagster pool of the speaking step, gpu_t4 or gpu_h200; or none."
    )


class IndexTTS2Settings(SettingsGroup):
    """The speech engine indextts2: its package's constructor, its voices, and how it generates."""

    model_dir: str = Field("checkpoints", description="Folder of the weights.")
    cfg_path: str = Field("", description="Its configuration; config.yaml in that folder when empty.")
    device: str = Field(
        "auto", pattern=r"^(auto|cpu|mps|xpu|cuda(:\d+)?)$", description="auto, cpu, cuda (any free GPU), cuda:N, mps."
    )
    use_fp16: bool = Field(False, description="Half precision on a GPU: half the memory.")
    use_cuda_kernel: bool | None = Field(
        None, description="The vocoder's own CUDA kernel, compiled at first use; by the device when not given."
    )
    use_deepspeed: bool = Field(False, description="Generate with DeepSpeed, where it is installed.")
    use_accel: bool = Field(False, description="Generate with the package's acceleration engine (flash-attn).")
    use_torch_compile: bool = Field(False, description="Compile the mel decoder with torch.compile.")
    use_qwen_emo: bool = Field(True, description="Load the model that takes an emotion from a description in words.")
    aux_paths: dict[str, str] = Field(
        default_factory=dict,
        description="Paths of the helper models: w2v_bert, semantic_codec, campplus, bigvgan. JSON object.",
    )
    voices: dict[str, str] = Field(
        default_factory=dict,
        description="Name of a voice → its recording, of which 15 s are used. The first is the default. JSON object.",
    )
    languages: tuple[str, ...] = Field(("zh", "en"), description="Languages of the weights, BCP-47; empty: any.")
    emo_alpha: float = Field(1.0, ge=0, le=1, description="Strength of an utterance's emotion, 0 to 1.")
    use_random: bool = Field(False, description="Take an emotion from a random speaker, not from the most similar one.")
    interval_silence: int = Field(200, ge=0, description="Silence between the parts of a long text, ms.")
    max_text_tokens_per_segment: int = Field(120, ge=1, description="Longest part of a text spoken at once, tokens.")
    more_segment_before: int = Field(0, ge=0, description="Tokens of the first part when streaming.")
    verbose: bool = Field(False, description="Log more of the package's output.")
    generation: dict[str, float | int | bool] = Field(
        default_factory=dict,
        description="Other arguments of its generation, such as num_beams, top_p, temperature. JSON object.",
    )
    gpu_lock_dir: str = Field("", description="Folder of the GPU locks; VOICE_GPU_LOCK_DIR when empty.")
    local_dir: str = Field("", description="Folder for copies of recordings; VOICE_LOCAL_DIR when empty.")
