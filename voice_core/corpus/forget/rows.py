"""Remove the rows of a recording from one dataset, independent of the settings that it was built with.

Only the Parquet files that contain the recording are written again, from their own rows: recordings, segment files and
codecs are not needed, and nothing else of the dataset changes.
"""

import dataclasses
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import yaml  # type: ignore[import-untyped]

from voice_core.corpus.dataset import pairs
from voice_core.corpus.dataset.card import read_card_settings
from voice_core.corpus.dataset.card_stage import build_card, read_dataset_manifests
from voice_core.corpus.dataset.dataset_record import read_dataset_record
from voice_core.corpus.dataset.exporters import CONFIGS
from voice_core.corpus.dataset.parquet_writer import ROW_GROUP, PartitionParquetWriter
from voice_core.corpus.dataset.rows_stage import read_dataset_manifest
from voice_core.corpus.dataset.splits import parse_splits
from voice_core.corpus.dataset.text_normalization import hash_text
from voice_core.corpus.evicted import dataset_stage_name, read_evicted, unmark_evicted
from voice_core.corpus.forget.search import RecordingName, read_row_keys
from voice_core.corpus.manifest import Manifest
from voice_core.corpus.names import NEUTTS, PAIRS, SPLITS
from voice_core.layout import DatasetLayout, PartitionKey, RowsFile
from voice_core.settings import CardSettings, Settings, SplitSettings
from voice_core.storage.distributed_lock import hold_lock
from voice_core.storage.scratch import open_scratch
from voice_core.storage.state_files import find_valid_state
from voice_core.storage.store import Store

_PROGRESS_PARAMETER = "forgetting"
"""The manifest parameter that holds the partition's earlier state while rows are removed."""


def read_recorded_settings(work: Store, dataset: str, settings: Settings) -> Settings:
    """The settings that a dataset was written with, as far as they are recorded; the others are `settings`."""
    own = settings.model_copy(update={"dataset": dataset})
    layout = DatasetLayout(dataset)
    commit = read_dataset_record(work, own)
    changes: dict[str, Any] = {}
    if commit is not None and "card_settings" in commit:
        changes["card"] = CardSettings(**commit["card_settings"])
    elif dataset != settings.dataset and (readme := work.find(layout.card_key)) is not None:
        with suppress(ValueError, LookupError, TypeError, AttributeError, yaml.YAMLError):  # a damaged card
            changes["card"] = read_card_settings(readme.decode(), dataset)
    if (splits := find_valid_state(work, layout.splits_key, parse_splits)) is not None and splits.parameters:
        changes["split"] = SplitSettings(**splits.parameters)
    return own.model_copy(update=changes)


def remove_rows(work: Store, name: RecordingName, partition: PartitionKey, settings: Settings) -> None:
    """Remove the recording from the rows of one partition whose lock is held. Calling it again completes it.

    If its rows are evicted, or another file is missing, the partition is left incomplete for the next build.
    """
    layout = DatasetLayout(settings.dataset)
    manifest = read_dataset_manifest(work, partition, settings)
    keys = [layout.rows_key(config, partition, split) for config in CONFIGS for split in SPLITS]
    there = [item.key for key in keys if (item := work.head(key)) is not None]
    looked = dict(zip(there, work.map_keys(lambda key: _may_contain(work, key, name), there), strict=True))
    files_to_rewrite = [key for key, holds in looked.items() if holds]
    if manifest is None:
        for key in files_to_rewrite:
            _rewrite_without(work, key, name, settings)
        return
    progress_mark = manifest.parameters.get(_PROGRESS_PARAMETER)
    if progress_mark is None:
        if not files_to_rewrite and not name.is_in(manifest):
            return
        mine = {entry.split for entry in manifest.kept() if entry.audio_id == name.audio_id}
        mine |= {found.split for key in files_to_rewrite if (found := RowsFile.parse_key(key))}
        paired = pairs.read_pairs(work, partition, settings) is not None
        progress_mark = {"complete": manifest.complete, "pairs": paired, "splits": sorted(mine)}
    draft = dataclasses.replace(
        manifest,
        complete=False,
        inputs="",
        recordings=tuple(item for item in manifest.recordings if item.audio_id != name.audio_id),
        entries=tuple(entry for entry in manifest.entries if entry.audio_id != name.audio_id),
        parameters={**manifest.parameters, _PROGRESS_PARAMETER: progress_mark},
    )
    work.put(layout.manifest_key(partition), draft.to_bytes())
    for key in files_to_rewrite:
        _rewrite_without(work, key, name, settings)
    _commit_remaining(work, draft, progress_mark, settings)


def _commit_remaining(work: Store, draft: Manifest, progress_mark: dict[str, Any], settings: Settings) -> None:
    """Commit the remaining rows of a partition and write its pairs again."""
    layout, partition = DatasetLayout(settings.dataset), PartitionKey.parse(draft.partition)
    parameters = {name: value for name, value in draft.parameters.items() if name != _PROGRESS_PARAMETER}
    place = dataset_stage_name(settings.dataset)
    evicted = read_evicted(work, place, partition)
    # Evicted files with rows of the recording must not be rebuilt.
    obsolete = {key for key in evicted if (freed := RowsFile.parse_key(key)) and freed.split in progress_mark["splits"]}
    unmark_evicted(work, place, partition, obsolete)
    kept = {entry.split for entry in draft.kept()}
    files = []
    is_complete = bool(progress_mark["complete"])
    for record in parameters.get("files", []):
        found = _refresh_file_record(work, record)
        if found is not None:
            files.append(found)
        elif record["key"] in evicted and record["key"] not in obsolete:
            files.append(record)
        elif record["split"] in kept:
            is_complete = False
    final = dataclasses.replace(draft, complete=is_complete, parameters={**parameters, "files": files})
    if progress_mark["splits"] and progress_mark["pairs"]:
        own = settings.model_copy(update={"codec": final.parameters.get("codec") or "none"})
        needed = {layout.rows_key(NEUTTS, partition, split) for split in kept} if own.codec != "none" else set()
        if is_complete and None not in work.map_keys(work.head, needed):
            pairs.write_pairs(work, final, own)
        else:
            record_key = layout.pairs_record_key(partition)
            paired = [layout.rows_key(PAIRS, partition, split) for split in SPLITS]
            work.delete([record_key, *paired])
            unmark_evicted(work, place, partition, paired)
    work.put(layout.manifest_key(partition), final.to_bytes())


def _refresh_file_record(work: Store, record: dict[str, Any]) -> dict[str, Any] | None:
    """The record of a file with its current content, or None if the file does not exist."""
    info = work.head(record["key"])
    if info is None:
        return None
    with work.open(record["key"]) as reader:
        rows = pq.ParquetFile(pa.PythonFile(reader)).metadata.num_rows
    return {**record, "sha256": work.hash(record["key"]), "size_bytes": info.size, "rows": rows}


def _may_contain(work: Store, key: str, name: RecordingName) -> bool:
    try:
        return any(map(name.owns_row, read_row_keys(work, key)))
    except (pa.ArrowException, KeyError):
        return True  # unreadable files are deleted, and rebuilt from the stage before


def _rewrite_without(work: Store, key: str, name: RecordingName, settings: Settings) -> None:
    """Write a Parquet file again without the recording's rows; delete it if no rows remain."""
    place = RowsFile.parse_key(key)
    assert place is not None
    if place.config == PAIRS:  # pairs are written again by the caller
        work.delete([key])
        return
    scratch = open_scratch(settings.local_dir, settings.local_gb) if work.local_root is None else None
    info = work.head(key)
    files = PartitionParquetWriter(work, lambda config, split: key, scratch, info.size if info else 0)
    try:
        _copy_rows(work, key, place, name, files)
    except (pa.ArrowException, KeyError):
        work.delete([key])
        return
    if not files.records:
        work.delete([key])


def _copy_rows(work: Store, key: str, place: RowsFile, name: RecordingName, files: PartitionParquetWriter) -> None:
    """Copy all rows except the recording's, in row groups of the usual size."""
    with work.open(key) as reader, files:
        parquet = pq.ParquetFile(pa.PythonFile(reader))
        schema = _with_list_item_names(parquet.schema_arrow)
        waiting = schema.empty_table()
        for number in range(parquet.num_row_groups):
            table = parquet.read_row_group(number)
            keep = [not name.owns_row(row) for row in table["__key__"].to_pylist()]
            waiting = pa.concat_tables([waiting, table.filter(pa.array(keep)).cast(schema)])
            while waiting.num_rows >= ROW_GROUP:
                files.write(place.config, place.split, waiting.slice(0, ROW_GROUP).combine_chunks())
                waiting = waiting.slice(ROW_GROUP)
        if waiting.num_rows:
            files.write(place.config, place.split, waiting.combine_chunks())


def _with_list_item_names(schema: pa.Schema) -> pa.Schema:
    """Parquet names list items `element`; rows are written with Arrow's name, so that the bytes stay equal."""
    fields = [
        item.with_type(pa.list_(item.type.value_type)) if pa.types.is_list(item.type) else item for item in schema
    ]
    return pa.schema(fields, metadata=schema.metadata)


def remove_from_dataset(
    work: Store, name: RecordingName, partitions: Sequence[PartitionKey], settings: Settings
) -> None:
    """Remove the recording from a dataset's splits, and write its card and dataset.json again if it has them."""
    layout = DatasetLayout(settings.dataset)
    with hold_lock(work, layout.root) as claimed:
        splits = find_valid_state(claimed, layout.splits_key, parse_splits)
        if splits is None:
            claimed.delete([layout.splits_key])  # damaged: the next build recovers them from the rows
        else:
            spoken = {
                hash_text(e.text) for item in read_dataset_manifests(work, partitions, settings) for e in item.entries
            }
            test, texts = splits.test - {(name.slug, name.audio_id)}, splits.shared_texts & spoken
            if (test, texts) != (splits.test, splits.shared_texts):
                changed = dataclasses.replace(splits, test=test, shared_texts=texts, inputs="")
                claimed.put(layout.splits_key, changed.to_bytes())
    if work.head(layout.card_key) or work.head(layout.summary_key):
        build_card(work, partitions, settings)
