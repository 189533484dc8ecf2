"""What a speech engine's module declares of the engine, for the registry."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from voice_core.settings import SettingsGroup
from voice_core.tts.base import SpeechEngine


class NoSettings(SettingsGroup):
    """The settings of an engine that has none."""


@dataclass(frozen=True, slots=True)
class EngineDeclaration:
    """A speech engine by name.

    `create` makes the engine from an instance of `settings`; it loads no weights yet.
    `memory_gb` is what one instance takes, of the GPU's memory where it runs on one. `install` is the command that
    installs what the engine needs beyond the base install; "" where nothing more is needed.

    Where `settings` has a field `device`, it says what the engine runs on ("auto", "cpu", "cuda", "cuda:N"); an engine
    without it runs on the CPU. What the engine is able to do is part of `SpeechEngine.capabilities`.
    """

    name: str
    create: Callable[[Any], SpeechEngine]
    settings: type[SettingsGroup] = NoSettings
    memory_gb: float = 1.0
    install: str = ""

    @property
    def options(self) -> tuple[str, ...]:
        """The names of the engine's settings."""
        return tuple(self.settings.model_fields)
