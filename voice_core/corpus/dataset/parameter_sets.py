"""The parameters that partitions were built with, grouped by equality. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from voice_core.corpus.manifest import Manifest
from voice_core.fingerprint import canonical_json

_FILES = "files"  # output files, not a parameter


@dataclass(frozen=True, slots=True)
class ParameterSet:
    """Partitions that were built with the same parameters; `values` are flat, such as `rules.min_snr_db`."""

    partitions: tuple[str, ...]
    values: Mapping[str, Any]


def parameter_sets(manifests: Iterable[Manifest]) -> tuple[ParameterSet, ...]:
    """The distinct parameters; the set of the first partition comes first."""
    groups: dict[str, tuple[list[str], dict[str, Any]]] = {}
    for manifest in manifests:
        values = flatten({name: value for name, value in manifest.parameters.items() if name != _FILES})
        groups.setdefault(canonical_json(values), ([], values))[0].append(manifest.partition)
    return tuple(ParameterSet(tuple(partitions), values) for partitions, values in groups.values())


def shared_parameters(sets: Iterable[ParameterSet]) -> dict[str, Any]:
    """The parameters that have the same value in all sets."""
    first, *others = sets
    return {
        name: value
        for name, value in first.values.items()
        if all(name in other.values and other.values[name] == value for other in others)
    }


def flatten(value: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """
    >>> flatten({"b": {"c": 1}, "a": [2]})
    {'a': [2], 'b.c': 1}
    """
    found: dict[str, Any] = {}
    for key in sorted(value):
        item = value[key]
        found |= flatten(item, f"{prefix}{key}.") if isinstance(item, Mapping) else {prefix + key: item}
    return found
