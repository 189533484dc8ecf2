"""What the assets that speak have in common: the config of a run, and the metadata of its result."""

from collections.abc import Callable
from typing import Any, Protocol

import dagster as dg
from pydantic import Field

from voice_assets.metadata import Metadata, speed_metadata
from voice_assets.notebook_store import NotebookStore
from voice_core.report.notebook import NotebookManifest
from voice_core.synthesis import SynthesisOptions


class SpeechConfig(dg.Config):
    """How speech is synthesised. A pipeline adds its own fields in a subclass."""

    backend: str = Field(default="auto", description="auto, serial, thread or process.")
    workers: int = Field(default=0, ge=0, description="Number of engines; 0: by device, memory and cores.")
    max_gpu_concurrency: int = Field(default=1, ge=1, description="Maximum number of engines on one GPU.")
    verify: bool = Field(default=False, description="Read every file again and rebuild corrupt files.")

    def options(self) -> SynthesisOptions:
        """The options of the synthesis, which `SynthesisOptions` validates."""
        return SynthesisOptions(
            backend=self.backend,  # type: ignore[arg-type]  # validated there
            workers=self.workers,
            max_gpu_concurrency=self.max_gpu_concurrency,
        )


class SpeechManifest(NotebookManifest, Protocol):
    """What the metadata needs of the manifest of spoken files: `parameters` names the engine and its revision."""

    @property
    def parameters(self) -> dict[str, Any]: ...


class SpeechReport(Protocol):
    """What a stage that speaks reports: its manifest, and what was spoken now."""

    @property
    def manifest(self) -> SpeechManifest: ...
    @property
    def spoken(self) -> int: ...
    @property
    def speech_sec(self) -> float: ...
    @property
    def wall_sec(self) -> float: ...


def speech_metadata(
    context: dg.AssetExecutionContext, report: SpeechReport, audio_sec: float, render_notebook: Callable[[], bytes]
) -> Metadata:
    """Engine, length of all speech, utterances spoken now, speed, and the link to listen to it.

    `render_notebook` makes the notebook of the partition; it is called only if there is none of this manifest.
    """
    manifest = report.manifest
    asset = context.asset_key.to_user_string()
    return {
        "engine": f"{manifest.parameters['engine']} {manifest.parameters['engine_revision']}",
        "hours": round(audio_sec / 3600, 4),
        "utterances_spoken": report.spoken,
        "listen": NotebookStore.from_context(context).listen_metadata(asset, manifest, render_notebook),
        **speed_metadata(report.speech_sec, report.wall_sec),
    }
