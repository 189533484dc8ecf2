"""The engine that the settings choose, as `EnginePool` takes it."""

from voice_core.settings import Settings
from voice_core.synthesis.types import EngineSpec
from voice_core.tts import configured_engine, engine_declaration


def engine_spec(settings: Settings) -> EngineSpec:
    """The engine of the settings, not loaded yet. Raises as `configured_engine` and `load_engine`."""
    name, options = configured_engine(settings)
    engine = EngineSpec(name, options).load()  # not its weights
    return EngineSpec(name, options, engine_declaration(name).memory_gb, engine.capabilities.thread_safe)
