"""Settings of codecs."""

from typing import Literal

from pydantic import Field

from voice_core.settings.base import SettingsGroup

Precision = Literal["fp32", "tf32", "bf16", "fp16"]


class NeuCodecSettings(SettingsGroup):
    """The codec neucodec: its weights, and how it runs. A setting that is empty or 0 comes from the pool's GPU profile;
    without a pool, it is fp32, and 240 s at once on a GPU, 120 s on a CPU."""

    checkpoint: str = Field("neuphonic/neucodec", description="Hub id of the weights, or a folder with them.")
    revision: str = Field(
        "main", description="Commit of the hub's repository. A branch stays at the commit that was first downloaded."
    )
    device: str = Field(
        "auto", pattern=r"^(auto|cpu|cuda(:\d+)?)$", description="auto, cpu, cuda (any free GPU) or cuda:N."
    )
    pool: str = Field(
        "",
        pattern=r"^[A-Za-z0-9_]*$",
        description="Dagster pool of the encoding step, gpu_t4 or gpu_h200; none if empty.",
    )
    precision: Precision | Literal[""] = Field(
        "",
        description="Arithmetic; only fp32 gives the reference's codes. The others have another revision.",
    )
    batch_sec: float = Field(0.0, ge=0, description="Audio encoded at once, seconds; halved when out of memory.")
    compile: bool = Field(False, description="Compile both encoders with torch.compile: slow start, faster run.")
    gpu_profiles: str = Field("", description="File of the GPU pools; VOICE_GPU_PROFILES when empty.")
    gpu_lock_dir: str = Field("", description="Folder of the GPU locks; VOICE_GPU_LOCK_DIR when empty.")
