"""Speech engines by name. An engine is one module with an `EngineDeclaration`, and one entry here or an entry point.

The module of an engine is imported when the engine is asked for. docs/extending.md shows how to add one.
"""

from typing import Any

from voice_core.registry import UnknownNameError, load_registered, registered_names
from voice_core.settings import Settings
from voice_core.settings.loading import ConfigurationError
from voice_core.settings.own_group import make_group, read_own_group
from voice_core.tts.base import (
    Capabilities,
    EngineBase,
    EngineBrokenError,
    EngineUnavailableError,
    Samples,
    Speech,
    SpeechEngine,
    TransientEngineError,
    Utterance,
)
from voice_core.tts.declaration import EngineDeclaration

__all__ = [
    "ENGINES",
    "Capabilities",
    "EngineBase",
    "EngineBrokenError",
    "EngineDeclaration",
    "EngineUnavailableError",
    "Samples",
    "Speech",
    "SpeechEngine",
    "TransientEngineError",
    "Utterance",
    "configured_engine",
    "engine_declaration",
    "engine_names",
    "load_engine",
]

ENGINES: dict[str, str | EngineDeclaration] = {
    "hibari": "voice_core.tts.hibari:ENGINE",
    "noise": "voice_core.tts.noise:ENGINE",
    "indextts2": "voice_core.tts.indextts2:ENGINE",
}
"""Where each engine is declared."""
ENTRY_POINTS = "voice_data_factory.engines"
"""The group of entry points by which other packages provide engines."""


def engine_names() -> tuple[str, ...]:
    """The names of all engines, those of installed packages included."""
    return registered_names(ENGINES, ENTRY_POINTS)


def engine_declaration(name: str) -> EngineDeclaration:
    """What the engine called `name` declares.

    Raises ConfigurationError for an unknown name, and EngineUnavailableError where its module cannot be imported.
    """
    try:
        return load_registered(ENGINES, ENTRY_POINTS, name, EngineDeclaration, "speech engine")
    except UnknownNameError as error:
        raise ConfigurationError(f"speech.engine: {error}") from None
    except ImportError as error:
        raise EngineUnavailableError(
            f"the engine {name} cannot be imported ({error}). Install what its package needs"
        ) from None


def load_engine(name: str, **options: Any) -> SpeechEngine:
    """The engine called `name`, its weights not yet loaded. Options are plain values, so that a worker process can
    load the same engine from (name, options).

    Raises ValueError for an unknown name or option and lists the known ones, and for a wrong value, which it does not
    show; EngineUnavailableError where a package is missing.

    >>> load_engine("noize")
    Traceback (most recent call last):
    voice_core.settings.loading.ConfigurationError: speech.engine: unknown speech engine (did you mean noise?)...
    >>> load_engine("hibari", speed=2)
    Traceback (most recent call last):
    ValueError: the engine hibari has no option 'speed'; it has none
    """
    declared = engine_declaration(name)
    unknown = sorted(set(options) - set(declared.options))
    if unknown:
        listed = ", ".join(sorted(declared.options)) or "none"
        raise ValueError(
            f"the engine {name} has no option {', '.join(repr(option) for option in unknown)}; it has {listed}"
        )
    try:
        return declared.create(make_group(declared.settings, name, options))
    except ImportError as error:
        install = f": {declared.install}" if declared.install else ""
        raise EngineUnavailableError(f"the engine {name} cannot be loaded ({error}){install}") from None


def configured_engine(settings: Settings) -> tuple[str, dict[str, Any]]:
    """The name and the options of the engine that the settings choose, for `load_engine`, here or elsewhere.

    The options are the group of the settings that has the engine's name, or else `speech.options`. Raises
    ConfigurationError for an unknown engine and for wrong options.

    >>> from voice_core.settings import SpeechSettings
    >>> configured_engine(Settings(speech=SpeechSettings(engine="noise")))
    ('noise', {})
    """
    name = settings.speech.engine
    declared = engine_declaration(name).settings
    group = read_own_group(settings, name, declared, settings.speech.options, "speech.options")
    return name, dict(group.model_dump(exclude_defaults=True))
