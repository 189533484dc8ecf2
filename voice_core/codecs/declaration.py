"""What a codec's module declares of the codec, for the registry."""

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Any

from voice_core.codecs.base import Codec
from voice_core.settings import SettingsGroup


class NoSettings(SettingsGroup):
    """The settings of a codec that has none."""


def _no_files(_: Any) -> Hashable:
    return ()


@dataclass(frozen=True, slots=True)
class CodecDeclaration:
    """A codec by name.

    `create` makes the codec from an instance of `settings`; it loads no weights yet. `install` is the command that
    installs what the codec needs beyond the base install; "" where nothing more is needed. `file_versions` returns a
    value that changes with the files which the codec is made from: the codec is then made again.

    A field `device` of `settings` says what the codec runs on ("auto", "cpu", "cuda", "cuda:N"), a field `pool` the
    Dagster pool of its steps; a codec without them runs on the CPU. Instances of `settings` must be hashable: no dicts
    or lists. What the codec is able to do (rates, codebook, whether it is a stand-in) is part of the `Codec` protocol.
    """

    name: str
    create: Callable[[Any], Codec]
    settings: type[SettingsGroup] = NoSettings
    install: str = ""
    file_versions: Callable[[Any], Hashable] = _no_files
