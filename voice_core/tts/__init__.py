"""Speech engines by name: an engine is one module and one entry here. Nothing heavy loads until asked for."""

from collections.abc import Callable

from voice_core.tts.base import Capabilities, Samples, Speech, SpeechEngine, Utterance

__all__ = ["ENGINES", "Capabilities", "Samples", "Speech", "SpeechEngine", "Utterance", "load_engine"]


def _hibari() -> SpeechEngine:
    from voice_core.tts.hibari import HibariEngine

    return HibariEngine()


ENGINES: dict[str, Callable[[], SpeechEngine]] = {"hibari": _hibari}


def load_engine(name: str) -> SpeechEngine:
    """The engine called `name`; raises ValueError with the known names for any other.

    >>> load_engine("festival")
    Traceback (most recent call last):
    ValueError: no speech engine is called 'festival'; known engines: hibari
    """
    if name not in ENGINES:
        raise ValueError(f"no speech engine is called {name!r}; known engines: {', '.join(sorted(ENGINES))}")
    return ENGINES[name]()
