"""The file and the variables that settings come from, and what is said of wrong ones."""

import difflib
import os
from pathlib import Path

from pydantic import ValidationError
from pydantic_settings import BaseSettings

from voice_core.settings.base import ENV_PREFIX


class ConfigurationError(ValueError):
    """The settings are wrong; the message names each setting, its value and what is allowed."""


def config_file() -> Path:
    """The file that VOICE_CONFIG names, else ./voice.toml, else the one that `voice demo` leaves."""
    named = os.environ.get(ENV_PREFIX + "CONFIG")
    if named:
        return Path(named)
    own, demo = Path("voice.toml"), Path("demo", "voice.toml")
    return demo if demo.is_file() and not own.is_file() else own


def refuse_unknown_variables(settings: type[BaseSettings]) -> None:
    """A misspelt variable would otherwise leave its setting at the default without a word."""
    known = {f"{ENV_PREFIX}{name}".upper() for name in (*settings.model_fields, "config")}
    for variable in sorted(os.environ):
        head = ENV_PREFIX + variable.removeprefix(ENV_PREFIX).split("__")[0]
        if variable.startswith(ENV_PREFIX) and head.upper() not in known:
            close = difflib.get_close_matches(variable, known, n=1)
            hint = f"; did you mean {close[0]}?" if close else ""
            raise ConfigurationError(f"{variable} is no setting{hint} (`voice settings` lists them)")


def explain(error: ValidationError) -> str:
    """A line a wrong setting: its name, its variable, what is wrong and what was given."""
    lines = ["the settings are wrong:"]
    for item in error.errors():
        path = [str(part) for part in item["loc"]]
        variable = ENV_PREFIX + "__".join(path).upper()
        shown = f" (got {item['input']!r})" if not isinstance(item["input"], dict) else ""
        lines.append(f"  {'.'.join(path)} / {variable}: {item['msg']}{shown}")
    return "\n".join(lines)
