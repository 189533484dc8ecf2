"""The file and the variables that settings come from, and what is said of wrong ones."""

import difflib
import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from pydantic import BaseModel, ValidationError
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
            raise ConfigurationError(f"{variable} {_no_setting(variable, known)}")


def _no_setting(name: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(name, list(known), n=1)
    hint = f"; did you mean {close[0]}?" if close else ""
    return f"is no setting{hint} (`voice settings` lists them)"


def explain(error: ValidationError, settings: type[BaseModel]) -> str:
    """A line a wrong setting: its name, its variable, what is wrong and what was given."""
    lines = ["the settings are wrong:"]
    for item in error.errors():
        path = [str(part) for part in item["loc"]]
        shown = f" (got {item['input']!r})" if not isinstance(item["input"], dict) else ""
        says = item["msg"]
        if item["type"] == "extra_forbidden":
            says = _no_setting(".".join(path), [".".join([*path[:-1], name]) for name in _fields(settings, path[:-1])])
        lines.append(f"  {'.'.join(path)} / {_variable(path)}: {says}{shown}")
    return "\n".join(lines)


def explain_unreadable(error: ValueError) -> str:
    """What is no TOML, or in a variable no JSON where a list or a table is wanted."""
    found = re.fullmatch(r'error parsing value for field "(\w+)" from source "EnvSettingsSource"', str(error))
    if not found:
        return f"{config_file()} or a {ENV_PREFIX}* variable cannot be read: {error}"
    variable = _variable([found[1]])
    given = os.environ.get(variable, "")
    return f'{variable} must be JSON, such as ["a", "b"] or {{"a": "b"}} (got {given!r})'


def _variable(path: Sequence[str]) -> str:
    return ENV_PREFIX + "__".join(path).upper()


def _fields(settings: type[BaseModel], path: Sequence[str]) -> list[str]:
    """The names in a group, by the path to it."""
    for name in path:
        field = settings.model_fields.get(name)
        if field is None or not (isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel)):
            return []
        settings = field.annotation
    return [*settings.model_fields]
