"""The speech engine that the settings choose."""

from typing import Any

import dagster as dg
from pydantic import Field

from resources.indextts2 import IndexTTS2Resource
from voice_core.settings import Settings
from voice_core.tts import SpeechEngine, configured_engine, load_engine


class SpeechResource(dg.ConfigurableResource):
    """Settings come from VOICE_SPEECH__* and voice.toml; a field here overrides them."""

    engine: str = Field(default="", description="Speech engine: hibari, noise or indextts2.")
    pool: str = Field(default="", description="Dagster pool of the speech step.")

    indextts2: dg.ResourceDependency[IndexTTS2Resource | None] = None  # type: ignore[assignment]

    @property
    def settings(self) -> Settings:
        fields = ("engine", "pool")
        given = {name: getattr(self, name) for name in fields if getattr(self, name)}
        indextts2 = self.indextts2.overrides() if self.indextts2 is not None else {}
        return Settings.load(speech=given, indextts2=indextts2)

    def engine_name_and_options(self) -> tuple[str, dict[str, Any]]:
        """Name and options of the engine, for `load_engine` in a worker process."""
        return configured_engine(self.settings)

    def load(self) -> SpeechEngine:
        """The engine, without its weights: these are loaded on first use."""
        name, options = self.engine_name_and_options()
        return load_engine(name, **options)
