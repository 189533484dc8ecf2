"""The identity of a model that is a folder of files: its content, wherever the folder is and whatever its name."""

from collections.abc import Sequence
from pathlib import Path

from voice_core.fingerprint import hash_model_files

RECOGNISER_FILES = ("*.json", "*.txt", "*.bin", "*.safetensors", "*.model")
"""The files of a recogniser's folder: weights, configuration, vocabulary."""


def identify_model(folder: Path, patterns: Sequence[str]) -> str:
    """A hash of the files that fit `patterns`, as `hash_model_files` computes it."""
    return hash_model_files(sorted({path for pattern in patterns for path in folder.glob(pattern) if path.is_file()}))
