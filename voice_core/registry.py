"""Implementations by name: those of this project and those of installed packages.

A registry is a dict from a name to an object, or to where it is defined as "module:attribute", which is also the form
of an entry point. Nothing is imported before it is asked for.
"""

import difflib
from collections.abc import Mapping
from importlib.metadata import EntryPoint, entry_points
from typing import TypeVar

Item = TypeVar("Item")


class UnknownNameError(ValueError):
    """No implementation has this name. The message lists those that exist, and not this one: a setting may hold it, and
    in a setting it may be a misplaced secret."""

    def __init__(self, what: str, name: str, known: tuple[str, ...]) -> None:
        close = difflib.get_close_matches(name, known, n=1)
        hint = f" (did you mean {close[0]}?)" if close else ""
        super().__init__(f"unknown {what}{hint}; known: {', '.join(known)}")


def registered_names(registry: Mapping[str, str | Item], group: str) -> tuple[str, ...]:
    """The names of a registry and of the entry points of `group`, sorted."""
    return tuple(sorted({*registry, *entry_points(group=group).names}))


def is_registered(registry: Mapping[str, str | Item], group: str, name: str) -> bool:
    """Whether a registry or an entry point of `group` has `name`. Entry points, which take long, come last."""
    return name in registry or bool(entry_points(group=group, name=name))


def load_registered(registry: Mapping[str, str | Item], group: str, name: str, kind: type[Item], what: str) -> Item:
    """The object that is registered under `name`; the registry comes before the entry points of `group`.

    `what` says in errors what the registry is of, such as "codec". Raises UnknownNameError, TypeError for an object
    that is not a `kind`, and what importing its module raises.
    """
    found = registry.get(name)
    if found is None:
        points = entry_points(group=group, name=name)
        if not points:
            raise UnknownNameError(what, name, registered_names(registry, group))
        found = next(iter(points)).value
    if isinstance(found, str):
        where, found = found, EntryPoint(name, found, group).load()
    else:
        where = "the registry"
    if not isinstance(found, kind):
        raise TypeError(f"{name} of {group} must be a {kind.__name__}; {where} has a {type(found).__name__}")
    return found
