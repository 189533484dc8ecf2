"""The card stage: write the dataset's card, its figures, and `dataset.json`, which commits them."""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from voice_core.corpus.dataset.card import render_card
from voice_core.corpus.dataset.dataset_record import card_file_records, make_file_record, read_dataset_record
from voice_core.corpus.dataset.exporters import CONFIGS
from voice_core.corpus.dataset.pairs import PairsRecord, read_pairs
from voice_core.corpus.dataset.plots import plot_durations, plot_rejections
from voice_core.corpus.dataset.rows_stage import read_dataset_manifest
from voice_core.corpus.dataset.splits import parse_splits
from voice_core.corpus.dataset.summary import Summary, summarise
from voice_core.corpus.manifest import Manifest
from voice_core.corpus.names import SPLITS
from voice_core.corpus.presence import are_files_intact
from voice_core.fingerprint import canonical_json, fingerprint, sha256
from voice_core.layout import DatasetLayout, PartitionKey
from voice_core.settings import Settings
from voice_core.storage.distributed_lock import hold_lock
from voice_core.storage.store import Store

CARD_VERSION = 2


def read_dataset_manifests(work: Store, partitions: Iterable[PartitionKey], settings: Settings) -> list[Manifest]:
    """The committed dataset manifests, in the order of partitions."""
    manifests = (read_dataset_manifest(work, partition, settings) for partition in partitions)
    return [manifest for manifest in manifests if manifest is not None and manifest.complete]


def card_inputs(manifests: Sequence[Manifest], settings: Settings) -> str:
    channels = sorted({PartitionKey.parse(manifest.partition).channel for manifest in manifests})
    names = [settings.display_name(channel) for channel in channels]
    versions = [(manifest.partition, manifest.data_version) for manifest in manifests]
    return fingerprint(CARD_VERSION, settings.card.model_dump(), settings.split.model_dump(), names, versions)


def build_card(work: Store, partitions: Iterable[PartitionKey], settings: Settings, *, verify: bool = False) -> Summary:
    """Write README.md, the figures and dataset.json for all finished partitions.

    Current files are kept, unless `verify` is set.
    """
    layout = DatasetLayout(settings.dataset)
    with hold_lock(work, layout.root) as work:
        return _build_card(work, partitions, settings, verify)


def _build_card(work: Store, partitions: Iterable[PartitionKey], settings: Settings, verify: bool) -> Summary:
    layout = DatasetLayout(settings.dataset)
    manifests = read_dataset_manifests(work, partitions, settings)
    records = [read_pairs(work, PartitionKey.parse(manifest.partition), settings) for manifest in manifests]
    files = list_dataset_files(manifests, [record for record in records if record is not None])
    available = {
        config: [split for split in SPLITS if any((f["config"], f["split"]) == (config, split) for f in files)]
        for config in CONFIGS
    }
    summary = summarise(manifests, settings)
    commit = {
        "inputs": card_inputs(manifests, settings),
        "partitions": [manifest.partition for manifest in manifests],
        "files": files,
        "splits": _make_splits_record(work, layout),
        "card_settings": settings.card.model_dump(mode="json"),
    }
    there = read_dataset_record(work, settings)
    if (
        not verify
        and there is not None
        and {**commit, "card": there.get("card")} == there
        and is_card_intact(work, there)
    ):
        return summary
    digests = {config: hash_config_files(files, config, layout.root) for config in available}
    card = render_card(summary, settings, splits=SPLITS, configs=available, digests=digests)
    card_contents = {
        layout.card_key: card.encode(),
        f"{layout.figures}durations.png": plot_durations(summary),
        f"{layout.figures}funnel.png": plot_rejections(summary),
    }
    work.put_many(card_contents)
    commit["card"] = [make_file_record(key, data) for key, data in card_contents.items()]
    work.put(layout.summary_key, (json.dumps(commit, ensure_ascii=False, indent=1) + "\n").encode())
    return summary


def is_card_intact(work: Store, commit: Mapping[str, Any]) -> bool:
    """Whether the card and its figures exist with their committed sizes."""
    records = card_file_records(commit)
    return bool(records) and are_files_intact(work, records)


def _make_splits_record(work: Store, layout: DatasetLayout) -> dict[str, Any]:
    data = work.find(layout.splits_key)
    if data is None:
        return {}
    return {**make_file_record(layout.splits_key, data), "inputs": parse_splits(work, layout.splits_key, data).inputs}


def list_dataset_files(manifests: Sequence[Manifest], pairs: Sequence[PairsRecord]) -> list[dict[str, Any]]:
    """Every Parquet file of the dataset: key, sha256, rows, config, split."""
    files = [item for manifest in manifests for item in manifest.parameters.get("files", [])]
    files += [item for record in pairs for item in record.files]
    return sorted(files, key=lambda item: item["key"])


def hash_config_files(files: Sequence[Mapping[str, Any]], config: str, root: str) -> str:
    """SHA-256 over the paths below `root` and the committed checksums of a config's Parquet files."""
    mine = sorted((str(item["key"]).removeprefix(root), item["sha256"]) for item in files if item["config"] == config)
    return sha256(canonical_json(mine).encode())
