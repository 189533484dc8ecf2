"""The identity of a model that is a folder of files: its content, wherever the folder is and whatever its name."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

_SAMPLE_BYTES = 1 << 20
RECOGNISER_FILES = ("*.json", "*.txt", "*.bin", "*.safetensors", "*.model")
"""The files of a recogniser's folder: weights, configuration, vocabulary."""


def identify_model(folder: Path, patterns: Sequence[str]) -> str:
    """A hash of the files that fit `patterns`: of each its name, size, and the first and the last MiB.

    Weights of gigabytes are not read as a whole: other training changes all of them.
    """
    total = hashlib.sha256()
    for path in sorted({path for pattern in patterns for path in folder.glob(pattern) if path.is_file()}):
        size = path.stat().st_size
        total.update(f"{path.name} {size}\n".encode())
        with path.open("rb") as file:
            total.update(file.read(_SAMPLE_BYTES))
            file.seek(max(0, size - _SAMPLE_BYTES))
            total.update(file.read(_SAMPLE_BYTES))
    return total.hexdigest()[:12]
