"""The last stage: the dataset's card, its figures, and `dataset.json`, which commits them."""

import json
from collections.abc import Iterable, Sequence
from typing import Any

from voice_core.corpus import rows
from voice_core.corpus.card import render_card
from voice_core.corpus.dataset import read_dataset_manifest
from voice_core.corpus.figures import duration_histogram_png, funnel_png
from voice_core.corpus.manifest import Manifest
from voice_core.corpus.pairs import PairsReport, read_pairs
from voice_core.corpus.splits import SPLITS
from voice_core.corpus.summary import Summary, summarise
from voice_core.fingerprint import fingerprint
from voice_core.layout import DatasetLayout, PartitionKey
from voice_core.lease import held
from voice_core.settings import Settings
from voice_core.store import Store

CARD_VERSION = 1


def finished_rows(work: Store, partitions: Iterable[PartitionKey], settings: Settings) -> list[Manifest]:
    """The committed dataset manifests, in the order of partitions."""
    manifests = (read_dataset_manifest(work, partition, settings) for partition in partitions)
    return [manifest for manifest in manifests if manifest is not None and manifest.complete]


def card_inputs(manifests: Sequence[Manifest], settings: Settings) -> str:
    channels = sorted({PartitionKey.parse(manifest.partition).channel for manifest in manifests})
    names = [settings.display_name(channel) for channel in channels]
    versions = [(manifest.partition, manifest.data_version) for manifest in manifests]
    return fingerprint(CARD_VERSION, settings.card.model_dump(), settings.split.model_dump(), names, versions)


def read_commit(work: Store, settings: Settings) -> dict[str, Any] | None:
    data = work.find(DatasetLayout(settings.dataset).summary_key)
    return json.loads(data) if data is not None else None


def build_card(work: Store, partitions: Iterable[PartitionKey], settings: Settings, *, verify: bool = False) -> Summary:
    """Write README.md, the figures and dataset.json for everything that is finished.

    Where they are current they are left alone, unless with `verify`.
    """
    layout = DatasetLayout(settings.dataset)
    with held(work, layout.root) as work:
        return _build_card(work, partitions, settings, verify)


def _build_card(work: Store, partitions: Iterable[PartitionKey], settings: Settings, verify: bool) -> Summary:
    layout = DatasetLayout(settings.dataset)
    manifests = finished_rows(work, partitions, settings)
    records = [read_pairs(work, PartitionKey.parse(manifest.partition), settings) for manifest in manifests]
    files = dataset_files(manifests, [record for record in records if record is not None])
    offered = {
        config: [split for split in SPLITS if any((f["config"], f["split"]) == (config, split) for f in files)]
        for config in (rows.FULL, rows.NEUTTS, rows.PAIRS)
    }
    summary = summarise(manifests, settings.display_name)
    commit = {
        "inputs": card_inputs(manifests, settings),
        "partitions": [manifest.partition for manifest in manifests],
        "files": files,
    }
    beside = (layout.card_key, f"{layout.figures}durations.png", f"{layout.figures}funnel.png")
    if not verify and read_commit(work, settings) == commit and None not in work.each(work.head, beside):
        return summary
    parameters = manifests[0].parameters if manifests else {}
    card = render_card(summary, settings, splits=SPLITS, configs=offered, parameters=parameters)
    work.put(f"{layout.figures}durations.png", duration_histogram_png(summary))
    work.put(f"{layout.figures}funnel.png", funnel_png(summary))
    work.put(layout.card_key, card.encode())
    work.put(layout.summary_key, (json.dumps(commit, ensure_ascii=False, indent=1) + "\n").encode())
    return summary


def dataset_files(manifests: Sequence[Manifest], pairs: Sequence[PairsReport]) -> list[dict[str, Any]]:
    """Every Parquet file of the dataset: key, sha256, rows, config, split."""
    files = [item for manifest in manifests for item in manifest.parameters.get("files", [])]
    files += [item for record in pairs for item in record.files]
    return sorted(files, key=lambda item: item["key"])
