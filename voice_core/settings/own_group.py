"""The settings of one codec or engine: a group of `Settings` that has its name, or options checked by its own class."""

from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import ValidationError

from voice_core.settings.base import SettingsGroup
from voice_core.settings.loading import ConfigurationError, describe_key, list_errors
from voice_core.settings.settings import Settings

Group = TypeVar("Group", bound=SettingsGroup)
_SHARED = ("gpu_profiles", "gpu_lock_dir", "local_dir")
"""Settings of the machine that a group takes over where it has a field of that name and no value for it."""


def read_own_group(
    settings: Settings, name: str, declared: type[Group], options: Mapping[str, Any], setting: str
) -> Group:
    """The settings of the codec or engine `name`, as an instance of `declared`.

    `options` are the values of `setting`, used where `Settings` has no group called `name`. Raises ConfigurationError.
    """
    group = getattr(settings, name, None)
    if isinstance(group, declared) and name in type(settings).model_fields:
        if options:
            raise ConfigurationError(f"{setting} is not for {name}, which has settings of its own: {name}.*")
        return group
    shared = {field: getattr(settings, field) for field in _SHARED if field in declared.model_fields}
    return make_group(declared, name, {**shared, **options}, setting)


def make_group(declared: type[Group], name: str, options: Mapping[str, Any], setting: str = "") -> Group:
    """An instance of the settings of the codec or engine `name`.

    Raises ConfigurationError with the names of wrong options, below that of their setting, and without their values.
    """
    try:
        return declared(**options)
    except ValidationError as error:
        wrong = [
            f"  {'.'.join(filter(None, [setting, *map(describe_key, place)]))}: {says}"
            for place, _, says in list_errors(error)
        ]
        known = ", ".join(sorted(declared.model_fields)) or "none"
        raise ConfigurationError("\n".join([f"the options of {name} are wrong (it has {known}):", *wrong])) from None
