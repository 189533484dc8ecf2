"""The codecs by name. A codec is one module with a `CodecDeclaration`, and one entry here or an entry point.

The module of a codec is imported when the codec is asked for. docs/extending.md shows how to add one.
"""

import functools
from collections.abc import Hashable

from voice_core.codecs.base import Codec, CodecUnavailableError
from voice_core.codecs.declaration import CodecDeclaration
from voice_core.registry import UnknownNameError, is_registered, load_registered, registered_names
from voice_core.settings import Settings, SettingsGroup
from voice_core.settings.loading import ConfigurationError
from voice_core.settings.own_group import read_own_group

CODECS: dict[str, str | CodecDeclaration] = {
    "melvq": "voice_core.codecs.melvq:CODEC",
    "neucodec": "voice_core.codecs.neucodec:CODEC",
}
"""Where each codec is declared."""
ENTRY_POINTS = "voice_data_factory.codecs"
"""The group of entry points by which other packages provide codecs."""


def codec_names() -> tuple[str, ...]:
    """The names of all codecs, those of installed packages included."""
    return registered_names(CODECS, ENTRY_POINTS)


def codec_declaration(name: str) -> CodecDeclaration:
    """What the codec called `name` declares.

    Raises ConfigurationError for an unknown name, and CodecUnavailableError where its module cannot be imported.
    """
    try:
        return load_registered(CODECS, ENTRY_POINTS, name, CodecDeclaration, "codec")
    except UnknownNameError as error:
        raise ConfigurationError(f'codec: {error} (or "none" for a dataset without codes)') from None
    except ImportError as error:
        raise CodecUnavailableError(
            f"the codec {name} cannot be imported ({error}). Install what its package needs"
        ) from None


def codec_settings(settings: Settings) -> SettingsGroup | None:
    """The settings of the configured codec: the group that has its name, or else `codec_options`.

    None without a codec, and for an unknown one. Raises ConfigurationError for options that the codec does not have.
    """
    if not is_registered(CODECS, ENTRY_POINTS, settings.codec):
        return None
    declared = codec_declaration(settings.codec).settings
    return read_own_group(settings, settings.codec, declared, settings.codec_options, "codec_options")


def codec_device(settings: Settings) -> str:
    """The device that the configured codec is set to run on: its setting `device`, "cpu" without one."""
    return str(getattr(codec_settings(settings), "device", "cpu"))


def codec_pool(settings: Settings) -> str:
    """The Dagster pool of the configured codec: its setting `pool`, "" without one."""
    return str(getattr(codec_settings(settings), "pool", ""))


def load_codec(name: str, settings: SettingsGroup | None = None) -> Codec:
    """The codec called `name`, made once a process; without `settings`, with the defaults of its own.

    A codec whose files have changed is made again: a codec's revision never changes. Raises ValueError for an unknown
    name, TypeError for settings of another codec, and whatever the codec raises when it cannot load
    (`CodecUnavailableError` where a package or weights are missing).
    """
    declared = codec_declaration(name)
    settings = declared.settings() if settings is None else settings
    if not isinstance(settings, declared.settings):
        raise TypeError(f"the codec {name} takes {declared.settings.__name__}, not {type(settings).__name__}")
    return cached_codec(declared, settings, declared.file_versions(settings))


def load_configured_codec(settings: Settings) -> Codec | None:
    """The codec that the settings name; None for a dataset without codes. Raises as `load_codec`."""
    return None if settings.codec == "none" else load_codec(settings.codec, codec_settings(settings))


@functools.lru_cache(maxsize=8)
def cached_codec(declared: CodecDeclaration, settings: SettingsGroup, _: Hashable) -> Codec:
    try:
        return declared.create(settings)
    except ImportError as error:
        install = f": {declared.install}" if declared.install else ""
        raise CodecUnavailableError(f"the codec {declared.name} cannot be loaded ({error}){install}") from None
