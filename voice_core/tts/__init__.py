"""Speech engines by name: an engine is one module and one entry here. Nothing heavy loads until asked for."""

from collections.abc import Callable, Iterable
from typing import Any

from voice_core.settings import Settings
from voice_core.tts.base import (
    Capabilities,
    EngineBrokenError,
    EngineUnavailableError,
    Samples,
    Speech,
    SpeechEngine,
    TransientEngineError,
    Utterance,
    load_on_reserved_gpu,
    reserve_gpu,
)

__all__ = [
    "ENGINES",
    "Capabilities",
    "EngineBrokenError",
    "EngineUnavailableError",
    "Samples",
    "Speech",
    "SpeechEngine",
    "TransientEngineError",
    "Utterance",
    "chosen_engine",
    "load_engine",
    "load_on_reserved_gpu",
    "reserve_gpu",
]


def _hibari(**options: Any) -> SpeechEngine:
    from voice_core.tts.hibari import HibariEngine

    _refuse_unknown("hibari", options, ())
    return HibariEngine()


def _noise(**options: Any) -> SpeechEngine:
    from voice_core.tts.noise import NoiseEngine, NoiseOptions

    _refuse_unknown("noise", options, NoiseOptions.__dataclass_fields__)
    return NoiseEngine(NoiseOptions(**options))


def _indextts2(**options: Any) -> SpeechEngine:
    from voice_core.settings import IndexTTS2Settings
    from voice_core.tts.indextts2 import IndexTTS2Engine

    _refuse_unknown("indextts2", options, IndexTTS2Settings.model_fields)
    return IndexTTS2Engine(IndexTTS2Settings(**options))


ENGINES: dict[str, Callable[..., SpeechEngine]] = {"hibari": _hibari, "noise": _noise, "indextts2": _indextts2}


def load_engine(name: str, **options: Any) -> SpeechEngine:
    """The engine called `name`, its weights not yet loaded. Options are plain values, so that a worker process can
    load the same engine from (name, options).

    Raises ValueError, with the known ones, for a name or an option that there is not.

    >>> load_engine("festival")
    Traceback (most recent call last):
    ValueError: no speech engine is called 'festival'; known engines: hibari, indextts2, noise
    >>> load_engine("hibari", speed=2)
    Traceback (most recent call last):
    ValueError: the engine hibari has no option 'speed'; it has none
    """
    if name not in ENGINES:
        raise ValueError(f"no speech engine is called {name!r}; known engines: {', '.join(sorted(ENGINES))}")
    return ENGINES[name](**options)


def configured_engine(settings: Settings) -> tuple[str, dict[str, Any]]:
    """The name and the options of the engine that the settings choose, for `load_engine`, here or elsewhere.

    >>> from voice_core.settings import SpeechSettings
    >>> configured_engine(Settings(speech=SpeechSettings(engine="noise")))
    ('noise', {})
    """
    name = settings.speech.engine
    if name not in ENGINES:
        raise ValueError(f"speech.engine is {name!r}; known engines: {', '.join(sorted(ENGINES))}")
    if name != "indextts2":
        return name, {}
    options = settings.indextts2.model_dump(exclude_defaults=True)
    return name, options


def _refuse_unknown(engine: str, options: Iterable[str], known: Iterable[str]) -> None:
    unknown = sorted(set(options) - set(known))
    if unknown:
        listed = ", ".join(sorted(known)) or "none"
        raise ValueError(
            f"the engine {engine} has no option {', '.join(repr(name) for name in unknown)}; it has {listed}"
        )
