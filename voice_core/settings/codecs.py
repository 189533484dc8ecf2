"""Settings of codecs."""

from typing import Literal

from pydantic import Field

from voice_core.settings.base import SettingsGroup

Precision = Literal["fp32", "tf32", "bf16", "fp16"]


class NeuCodecSettings(SettingsGroup):
    """The codec neucodec: its weights, and how it runs.

    If empty or 0, precision and batch_sec come from the pool's GPU profile. Without a pool they are fp32, and 240 s on
    a GPU or 120 s on a CPU.
    """

    checkpoint: str = Field("neuphonic/neucodec", description="Hub id of the weights, or a folder that contains them.")
    revision: str = Field(
        "main", description="Commit of the hub's repository. A branch is kept at the commit that was downloaded first."
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
        description="Precision of the computation. Only fp32 gives the reference's codes; others count as another "
        "revision.",
    )
    batch_sec: float = Field(0.0, ge=0, description="Audio encoded at once, seconds; halved if memory runs out.")
    compile: bool = Field(False, description="Compile both encoders with torch.compile: slower start, faster encoding.")
    gpu_profiles: str = Field("", description="File of the GPU pools; VOICE_GPU_PROFILES if empty.")
    gpu_lock_dir: str = Field("", description="Folder of the GPU locks; VOICE_GPU_LOCK_DIR if empty.")
