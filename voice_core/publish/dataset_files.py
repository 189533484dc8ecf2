"""The dataset as it will be at the hub: what is committed in the work root, and nothing else."""

import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from voice_core.corpus.dataset.card_stage import card_inputs, read_dataset_manifests
from voice_core.corpus.dataset.dataset_record import read_dataset_record
from voice_core.corpus.evicted import EvictedFiles, dataset_stage_name, list_evicted_partitions
from voice_core.corpus.ingest.batches import list_partitions
from voice_core.corpus.ingest.tombstones import read_tombstones
from voice_core.corpus.manifest import Manifest
from voice_core.fingerprint import sha256
from voice_core.language import pluralize
from voice_core.layout import DatasetLayout, PartitionKey, evicted_prefix, slug
from voice_core.publish.difference import HUB_RECORD, LocalFile
from voice_core.settings import Settings
from voice_core.storage.store import Store

_FIGURE = re.compile(r"\]\((figures/[^)\s]+)\)")


class DatasetNotReadyError(LookupError):
    """The dataset cannot be published in this state; the message says what to run first."""


def collect_files(work: Store, settings: Settings) -> list[LocalFile]:
    """Every file to publish: Parquet files by key; the card, its figures and dataset.json with their content.

    Raises:
        DatasetNotReadyError: dataset.json is missing or was written for other rows or settings, or the rows contain a
            forgotten recording.
    """
    layout = DatasetLayout(settings.dataset)
    commit = read_dataset_record(work, settings)
    if commit is None:
        raise DatasetNotReadyError(f"there is no {layout.summary_key} in {work.url}: run `voice build`")
    manifests = read_dataset_manifests(work, list_partitions(work), settings)
    if commit["inputs"] != card_inputs(manifests, settings):
        raise DatasetNotReadyError(
            f"{layout.summary_key} was written for other rows or settings than the current ones: run `voice build`"
        )
    _require_no_forgotten(work, manifests)
    sizes = dict(zip((item["key"] for item in commit["files"]), _sizes(work, commit["files"]), strict=True))
    rows = [
        LocalFile(
            item["key"].removeprefix(layout.root),
            sizes[item["key"]],
            item["sha256"],
            key=item["key"],
            config=item["config"],
            split=item["split"],
            rows=item["rows"],
        )
        for item in commit["files"]
    ]
    card = work.get(layout.card_key)
    figures = dict.fromkeys(_FIGURE.findall(card.decode()))
    card_files = [
        _small_file("README.md", card),
        *(_small_file(path, work.get(layout.root + path)) for path in figures),
    ]
    return [*rows, *card_files, _small_file(HUB_RECORD, _make_hub_record(commit, layout, sizes, card_files))]


def require_files(work: Store, files: Iterable[LocalFile], url: str, settings: Settings) -> None:
    """Raise DatasetNotReadyError if any of the files to send was deleted by `voice clean datasets`."""
    place = dataset_stage_name(settings.dataset)
    if not list_evicted_partitions(work, place):
        return
    evicted = EvictedFiles(work)
    gone = [file.key for file in files if evicted.contains(file.key, file.sha256)]
    if gone:
        raise DatasetNotReadyError(
            f"`voice clean datasets` deleted {pluralize(len(gone), 'file')} to publish, such as {work.url}/{gone[0]}, "
            f"and {url} has no copy: delete {work.url}/{evicted_prefix(place)} and run `voice build`, which writes the "
            "files again"
        )


def _require_no_forgotten(work: Store, manifests: Sequence[Manifest]) -> None:
    gone = {(slug(channel), audio_id) for channel, audio_id in read_tombstones(work)}
    for manifest in manifests:
        channel = PartitionKey.parse(manifest.partition).channel
        for recording in manifest.recordings:
            if (channel, recording.audio_id) in gone:
                raise DatasetNotReadyError(
                    f"the rows of {manifest.partition} still contain {recording.audio_id}, which was forgotten: run "
                    "`voice build`"
                )


def _sizes(work: Store, files: Sequence[Mapping[str, Any]]) -> list[int]:
    """Bytes of each Parquet file; records of older versions do not have them."""
    known = {item["key"]: item.get("size_bytes") for item in files}

    def size_of(key: str) -> int:
        size = known[key]
        if size is not None:
            return int(size)
        info = work.head(key)
        if info is None:
            raise DatasetNotReadyError(f"{work.url}/{key} is missing: run `voice build --verify`")
        return info.size

    return work.map_keys(size_of, known)


def _make_hub_record(
    commit: Mapping[str, Any], layout: DatasetLayout, sizes: Mapping[str, int], card_files: Sequence[LocalFile]
) -> bytes:
    """dataset.json at the hub: every other file under its path there. It depends on these files alone."""
    files = [
        {
            "path": item["key"].removeprefix(layout.root),
            "sha256": item["sha256"],
            "size_bytes": sizes[item["key"]],
            "rows": item["rows"],
            "config": item["config"],
            "split": item["split"],
        }
        for item in commit["files"]
    ]
    value = {
        "inputs": commit["inputs"],
        "partitions": commit["partitions"],
        "files": files,
        "card": [file.as_record() for file in card_files],
    }
    return (json.dumps(value, ensure_ascii=False, indent=1) + "\n").encode()


def _small_file(path: str, data: bytes) -> LocalFile:
    git_sha1 = hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()
    return LocalFile(path, len(data), sha256(data), git_sha1=git_sha1, data=data)
