"""The settings of one codec or engine: a group of `Settings` that has its name, or options checked by its own class."""

from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import ValidationError

from voice_core.settings.base import SettingsGroup
from voice_core.settings.loading import ConfigurationError
from voice_core.settings.settings import Settings

Group = TypeVar("Group", bound=SettingsGroup)
_SHARED = ("gpu_profiles", "gpu_lock_dir", "local_dir")
"""Settings of the machine that a group takes over where it has a field of that name and no value for it."""


def read_own_group(
    settings: Settings, name: str, declared: type[Group], options: Mapping[str, Any], setting: str
) -> Group:
    """The settings of the codec or engine `name`, as an instance of `declared`.

    `options` are the values of `setting`, used where `Settings` has no group called `name`. Raises ConfigurationError,
    naming the option and not its value.
    """
    group = getattr(settings, name, None)
    if isinstance(group, declared) and name in type(settings).model_fields:
        if options:
            raise ConfigurationError(f"{setting} is not for {name}, which has settings of its own: {name}.*")
        return group
    shared = {field: getattr(settings, field) for field in _SHARED if field in declared.model_fields}
    try:
        return declared(**{**shared, **options})
    except ValidationError as error:
        wrong = [f"  {setting}.{'.'.join(map(str, item['loc']))}: {item['msg']}" for item in error.errors()]
        known = ", ".join(declared.model_fields) or "none"
        raise ConfigurationError("\n".join([f"the options of {name} are wrong (it has {known}):", *wrong])) from None
