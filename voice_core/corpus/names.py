"""Names in keys and manifests of the voice dataset: stages, dataset configurations and splits."""

from typing import Final

ADOPT: Final = "adopt"
SEGMENTS: Final = "segments"
CODED: Final = "coded"
DATASET: Final = "dataset"

FULL: Final = "full"
NEUTTS: Final = "neutts"
PAIRS: Final = "pairs"

TRAIN: Final = "train"
TEST: Final = "test"
SPLITS: Final = (TRAIN, TEST)
