"""The file and the variables that settings come from, and messages about invalid ones.

A message names the setting, its variable and what is allowed, never the value, which may be a misplaced secret.
"""

import difflib
import json
import logging
import multiprocessing
import os
import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from pydantic import BaseModel, ValidationError
from pydantic_settings import BaseSettings

from voice_core.redaction import redact
from voice_core.settings.base import ENV_PREFIX

DEFAULT_SOURCE = "default"
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,39}")
_warned: set[str] = set()
_log = logging.getLogger(__name__)


class ConfigurationError(ValueError):
    """The settings are invalid. The message names each setting and what is allowed, and contains no value."""

    def __init__(self, message: str) -> None:
        super().__init__(redact(message))


def config_file() -> Path:
    """The file that VOICE_CONFIG names, or ./voice.toml, or the one that `voice demo` writes."""
    named = os.environ.get(ENV_PREFIX + "CONFIG")
    if named:
        return Path(named)
    own, demo = Path("voice.toml"), Path("demo", "voice.toml")
    return demo if demo.is_file() and not own.is_file() else own


def warn_of_unknown_variables(settings: type[BaseSettings]) -> None:
    """Log a warning, once per process, that names the VOICE_ variables which are not settings: they are ignored.

    It is not an error, since other programs may use the prefix. Without it a misspelt variable would silently leave its
    setting at the default.
    """
    known = {f"{ENV_PREFIX}{name}".upper() for name in (*settings.model_fields, "config")}
    unknown = [
        variable
        for variable in sorted(os.environ)
        if variable.startswith(ENV_PREFIX)
        and ENV_PREFIX + variable.removeprefix(ENV_PREFIX).split("__")[0].upper() not in known
    ]
    if not set(unknown) <= _warned and multiprocessing.parent_process() is None:
        _warned.update(unknown)
        listed = ", ".join(name + _did_you_mean(name, known, prefix=ENV_PREFIX) for name in unknown)
        _log.warning("ignored: %s: not a setting (`voice settings` lists them)", listed)


def _did_you_mean(name: str, known: Iterable[str], prefix: str = "") -> str:
    close = difflib.get_close_matches(name.removeprefix(prefix), [item.removeprefix(prefix) for item in known], n=1)
    return f" (did you mean {prefix}{close[0]}?)" if close else ""


def describe_validation_error(error: ValidationError, settings: type[BaseModel]) -> str:
    """One line per invalid setting: its name, its variable and what is wrong."""
    lines = ["the settings are invalid:"]
    for place, kind, says in list_errors(error):
        path, rest = _split_path(settings, place)
        if kind == "extra_forbidden":
            says = "not a setting" + _did_you_mean(
                ".".join([*path, *map(str, rest)]), [".".join([*path, name]) for name in _fields(settings, path)]
            )
            says += " (`voice settings` lists them)"
            path += map(describe_key, rest)
            rest = []
        name = ".".join([*path, *(str(part) for part in rest if isinstance(part, int))])
        lines.append(f"  {name} / {_variable(path)}: {says}")
    return "\n".join(lines)


def list_errors(error: ValidationError) -> list[tuple[tuple[str | int, ...], str, str]]:
    """The place, the type and the message of each error, without the values that are wrong."""
    found = error.errors(include_input=False, include_url=False, include_context=False)
    return [(item["loc"], item["type"], item["msg"].removeprefix("Value error, ")) for item in found]


def describe_key(key: str | int) -> str:
    """A key or an index as it is shown; "…" for a text that is not like a name and may be a misplaced secret."""
    return str(key) if isinstance(key, int) or _NAME.fullmatch(key) else "…"


def describe_unreadable_config(error: ValueError) -> str:
    """Describe a file that is not TOML, or a variable for a list or table that is not JSON."""
    if isinstance(error, tomllib.TOMLDecodeError):
        return f"{config_file()} is not valid TOML: {error}"
    if isinstance(error, UnicodeDecodeError):
        return f"{config_file()} is not UTF-8 text, at byte {error.start}"
    found = re.fullmatch(r'error parsing value for field "(\w+)" from source "EnvSettingsSource"', str(error))
    if not found:
        return f"{config_file()} or a {ENV_PREFIX}* variable cannot be read ({type(error).__name__})"
    return f'{_not_json(found[1], error.__cause__)} must be JSON, such as ["a", "b"] or {{"a": "b"}}'


def _not_json(field: str, cause: BaseException | None) -> str:
    """The variable that is not JSON: that of the field, or of one of its items."""
    whole = _variable([field])
    document = cause.doc if isinstance(cause, json.JSONDecodeError) else None
    names = [name for name, value in os.environ.items() if name.upper().startswith(whole) and value == document]
    return names[0] if names else whole


def find_setting_source(path: Sequence[str], table: Mapping[str, object]) -> str:
    """The source of a setting's value: "variable" (its own), the name of another variable, the name of the file (whose
    content is `table`), or `DEFAULT_SOURCE`."""
    variable, group = _variable(path), _variable(path[:1])
    for name, value in os.environ.items():
        if name.upper() == variable or name.upper().startswith(f"{variable}__"):
            return "variable"
        if len(path) > 1 and name.upper() == group and path[1] in json.loads(value):
            return name
    found: object = table
    for part in path:
        found = found.get(part) if isinstance(found, dict) else None
    return DEFAULT_SOURCE if found is None else config_file().name


def read_config() -> dict[str, object]:
    """The content of the configuration file; empty if it does not exist."""
    path = config_file()
    return tomllib.loads(path.read_text("utf-8")) if path.is_file() else {}


def _variable(path: Sequence[str]) -> str:
    return ENV_PREFIX + "__".join(path).upper()


def _split_path(settings: type[BaseModel], place: Sequence[str | int]) -> tuple[list[str], list[str | int]]:
    """Split the location of an error into names of settings, and keys and indexes within a value."""
    path: list[str] = []
    for part in place:
        if part not in _fields(settings, path):
            break
        path.append(str(part))
    return path, list(place[len(path) :])


def _fields(settings: type[BaseModel], path: Sequence[str]) -> list[str]:
    """The names of the settings in the group at `path`."""
    for name in path:
        field = settings.model_fields.get(name)
        if field is None or not (isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel)):
            return []
        settings = field.annotation
    return [*settings.model_fields]
