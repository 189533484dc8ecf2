"""Content hashes, which decide what has to be rebuilt."""

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

_SAMPLE_BYTES = 1 << 20


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def canonical_json(value: Any) -> str:
    """JSON with sorted keys and no spaces: equal values give equal text.

    >>> canonical_json({"b": 1, "a": "ن"})
    '{"a":"ن","b":1}'
    """
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def fingerprint(*parts: Any) -> str:
    """A 32-digit hash of JSON-like values.

    >>> fingerprint("a", 1) == fingerprint("a", 1), fingerprint("a", 1) == fingerprint("a", 2)
    (True, False)
    """
    return hashlib.sha256(canonical_json(parts).encode("utf-8", "surrogatepass")).hexdigest()[:32]


def hash_model_files(files: Iterable[Path]) -> str:
    """A 12-digit hash of a model's files, in the order given: of each its name, size, and the first and last MiB.

    Weights of gigabytes are not read as a whole: other training changes all of them.
    """
    total = hashlib.sha256()
    for path in files:
        size = path.stat().st_size
        total.update(f"{path.name} {size}\n".encode())
        with path.open("rb") as file:
            total.update(file.read(_SAMPLE_BYTES))
            file.seek(max(0, size - _SAMPLE_BYTES))
            total.update(file.read(_SAMPLE_BYTES))
    return total.hexdigest()[:12]


def hash_to_unit_interval(*parts: Any) -> float:
    """A hash distributed evenly over [0, 1): for choices that must not change from run to run.

    >>> 0.0 <= hash_to_unit_interval("x") < 1.0
    True
    """
    return int(fingerprint(*parts)[:13], 16) / 16**13
