"""Read and validate the small JSON files that hold the program's state.

A file that cannot be parsed, or has unexpected content, raises `DamagedStateError`, which names the file. Code that can
create the file again catches the error; other code does not.
"""

import json
import logging
from collections.abc import Callable, Hashable
from functools import lru_cache
from typing import Any, TypeVar, cast

from pydantic import TypeAdapter, ValidationError

from voice_core.storage.store import Store

T = TypeVar("T")
_log = logging.getLogger(__name__)


class StateFileError(ValueError):
    """A state file cannot be used. The message names the file by its URL; `key` is its key in the store.

    `why` says what is wrong, `remedy` what a person can do (empty where that is to update the program).
    """

    def __init__(self, key: str, message: str, why: str, remedy: str = "") -> None:
        super().__init__(message)
        self.key = key
        self.why = why
        self.remedy = remedy


class DamagedStateError(StateFileError):
    """The content of the file is not what the program writes."""

    def __init__(self, store: Store, key: str, why: str, remedy: str = "") -> None:
        super().__init__(key, f"{store.url}/{key} {why}" + (f". {remedy}" if remedy else ""), why, remedy)


class NewerStateError(StateFileError):
    """A newer version of the program wrote the file."""

    def __init__(self, store: Store, key: str, version: int, known: int) -> None:
        why = f"was written by a newer version of the program (format {version}; this one knows {known})"
        super().__init__(key, f"{store.url}/{key} {why}: update the program", why)


class NewerSchemaError(ValueError):
    """As `NewerStateError`, of a Parquet file whose key is not known yet."""

    def __init__(self, version: int) -> None:
        super().__init__(f"format {version} is newer than this version of the program")
        self.version = version


def parse_state(
    store: Store,
    key: str,
    data: bytes,
    kind: type[T],
    *,
    version: int = 1,
    prepare: Callable[[dict[str, Any]], Any] | None = None,
    remedy: str = "",
) -> T:
    """Parse `data`, the JSON file at `key`, as a `kind`: a dataclass, or a type such as `dict[str, str]`.

    Args:
        version: the newest format that this program knows.
        prepare: converts the JSON object to the input of `kind`; may raise KeyError, TypeError or ValueError.
        remedy: what a person can do; the last sentence of the error's message.

    Raises:
        DamagedStateError: the file is empty, is not JSON, or has unexpected content.
        NewerStateError: its "version" is above `version`.
    """
    if not data.strip():
        raise DamagedStateError(store, key, "is empty", remedy)
    try:
        value = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise DamagedStateError(store, key, f"is not JSON: {error}", remedy) from None
    found = value.get("version") if isinstance(value, dict) else None
    if isinstance(found, int) and found > version:
        raise NewerStateError(store, key, found, version)
    try:
        return _adapter(cast(Hashable, kind)).validate_python(prepare(value) if prepare is not None else value)
    except ValidationError as error:
        raise DamagedStateError(store, key, f"has an unexpected structure: {_first(error)}", remedy) from None
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise DamagedStateError(store, key, f"has an unexpected structure: {error!r}", remedy) from None


def read_state(
    store: Store,
    key: str,
    kind: type[T],
    *,
    version: int = 1,
    prepare: Callable[[dict[str, Any]], Any] | None = None,
    remedy: str = "",
) -> T | None:
    """Read the state file at `key`; None if it does not exist. Arguments and errors as for `parse_state`."""
    data = store.find(key)
    if data is None:
        return None
    return parse_state(store, key, data, kind, version=version, prepare=prepare, remedy=remedy)


def find_valid_state(store: Store, key: str, parse: Callable[[Store, str, bytes], T]) -> T | None:
    """The state file at `key`, parsed; None if it is missing, or, with a warning, if it is damaged.

    For files that are derived from others, so that a damaged one is written again.
    """
    data = store.find(key)
    try:
        return parse(store, key, data) if data is not None else None
    except DamagedStateError as error:
        _log.warning("%s; it will be written again", error)
        return None


def _first(error: ValidationError) -> str:
    item = error.errors(include_url=False, include_input=False)[0]
    place = ".".join(map(str, item["loc"]))
    return f"{place}: {item['msg']}" if place else str(item["msg"])


@lru_cache(maxsize=64)
def _adapter(kind: Hashable) -> TypeAdapter[Any]:
    return TypeAdapter(cast(Any, kind))
