"""What the settings of tier 2 stand for: models by their content, and no folder of this machine."""

from importlib.metadata import version
from pathlib import Path
from typing import Any

from voice_core.audiobook.validation.config import Tier2Config
from voice_core.audiobook.validation.tier2 import resolve_model
from voice_core.recognition.model_files import RECOGNISER_FILES, identify_model

_MODELS = ("whisper_model", "larger_model")


def describe_tier2(config: Tier2Config) -> dict[str, Any]:
    """The settings that a recognised take's result depends on, and the share of the chunks.

    Raises ConfigurationError where a model is missing.
    """
    if not config.enabled:
        return {"enabled": False}
    models = {key: _identify(getattr(config, key), config, key) for key in _MODELS}
    return {**config.model_dump(exclude={"models_folder", *_MODELS}), **models}


def _identify(name: str, config: Tier2Config, key: str) -> str:
    if not name:
        return ""
    model = resolve_model(name, config, key)
    return f"{model} {version(model)}" if model == "pocketsphinx" else identify_model(Path(model), RECOGNISER_FILES)
