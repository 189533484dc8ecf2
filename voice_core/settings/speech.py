"""Settings of speech engines."""

from typing import Any

from pydantic import Field

from voice_core.settings.base import SettingsGroup


class SpeechSettings(SettingsGroup):
    """The speech engine that speaks scripts."""

    engine: str = Field("hibari", description="Speech engine: hibari (embedded, English), noise or indextts2.")
    options: dict[str, Any] = Field(
        default_factory=dict,
        description="Settings of an engine without its own group, such as one of another package. JSON object.",
    )
    pool: str = Field(
        "",
        pattern=r"^[A-Za-z0-9_]*$",
        description="Dagster pool of the speaking step, gpu_t4 or gpu_h200; none if empty.",
    )


class IndexTTS2Settings(SettingsGroup):
    """The speech engine indextts2: its package's constructor, its voices, and how it generates."""

    model_dir: str = Field("checkpoints", description="Folder of the weights.")
    cfg_path: str = Field("", description="Configuration file of the model; config.yaml in that folder if empty.")
    device: str = Field(
        "auto", pattern=r"^(auto|cpu|mps|xpu|cuda(:\d+)?)$", description="auto, cpu, cuda (any free GPU), cuda:N, mps."
    )
    use_fp16: bool = Field(False, description="Half precision on a GPU; uses half the memory.")
    use_cuda_kernel: bool | None = Field(
        None,
        description="Use the vocoder's CUDA kernel, which is compiled at first use; chosen by the device if not set.",
    )
    use_deepspeed: bool = Field(False, description="Generate with DeepSpeed, if it is installed.")
    use_accel: bool = Field(False, description="Generate with the package's acceleration engine (flash-attn).")
    use_torch_compile: bool = Field(False, description="Compile the mel decoder with torch.compile.")
    use_qwen_emo: bool = Field(True, description="Load the model that derives an emotion from a description.")
    aux_paths: dict[str, str] = Field(
        default_factory=dict,
        description="Folders of auxiliary weights: w2v_bert, semantic_codec, campplus, bigvgan. JSON object.",
    )
    voices: dict[str, str] = Field(
        default_factory=dict,
        description="Name of a voice → its recording, of which 15 s are used. The first is the default. JSON object.",
    )
    languages: tuple[str, ...] = Field(("zh", "en"), description="Languages of the weights, BCP-47; empty: any.")
    emo_alpha: float = Field(1.0, ge=0, le=1, description="Strength of an utterance's emotion (0 to 1).")
    use_random: bool = Field(
        False, description="Take an emotion from a random speaker instead of the most similar one."
    )
    interval_silence: int = Field(200, ge=0, description="Silence between the parts of a long text, ms.")
    max_text_tokens_per_segment: int = Field(
        120, ge=1, description="Longest part of a text that is generated at once, tokens."
    )
    more_segment_before: int = Field(
        0, ge=0, description="Tokens in the first part when streaming; fewer start sooner."
    )
    verbose: bool = Field(False, description="Log more messages of the package.")
    generation: dict[str, float | int | bool] = Field(
        default_factory=dict,
        description="Further arguments of the generation, such as num_beams, top_p, temperature. JSON object.",
    )
    gpu_lock_dir: str = Field("", description="Folder of the GPU locks; VOICE_GPU_LOCK_DIR if empty.")
    local_dir: str = Field("", description="Folder for copies of recordings; VOICE_LOCAL_DIR if empty.")
