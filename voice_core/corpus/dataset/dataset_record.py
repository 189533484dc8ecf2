"""`dataset.json`, the commit record of a dataset: Parquet files, splits, card and figures, with checksums."""

from collections.abc import Mapping, Sequence
from typing import Any

from voice_core.fingerprint import sha256
from voice_core.layout import DatasetLayout, PartitionKey
from voice_core.settings import Settings
from voice_core.storage.state_files import find_valid_state, parse_state
from voice_core.storage.store import Store


def read_dataset_record(work: Store, settings: Settings) -> dict[str, Any] | None:
    """The record; None if it is missing or damaged: the card is written again then."""
    return find_valid_state(work, DatasetLayout(settings.dataset).summary_key, parse_dataset_record)


def parse_dataset_record(work: Store, key: str, data: bytes) -> dict[str, Any]:
    return parse_state(work, key, data, dict[str, Any], prepare=_validate)


def _validate(value: dict[str, Any]) -> dict[str, Any]:
    items = [*value["files"], *value.get("card", []), *([value["splits"]] if value.get("splits") else [])]
    if not all(isinstance(item["key"], str) and isinstance(item["sha256"], str) for item in items):
        raise ValueError("a file without a key or a checksum")
    partitions = value["partitions"]
    if not isinstance(value["inputs"], str) or not all(isinstance(name, str) for name in partitions):
        raise ValueError("inputs or partitions")
    for name in partitions:
        PartitionKey.parse(name)
    return value


def make_file_record(key: str, data: bytes) -> dict[str, Any]:
    return {"key": key, "sha256": sha256(data), "size_bytes": len(data)}


def card_file_records(commit: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    """Records of the card and its figures: key, sha256, size_bytes. Older versions do not have them."""
    return commit.get("card", [])


def splits_record(commit: Mapping[str, Any] | None) -> Mapping[str, Any]:
    """The record of splits.json: key, sha256, size_bytes and `inputs`; empty if there is none."""
    return commit.get("splits", {}) if commit is not None else {}
