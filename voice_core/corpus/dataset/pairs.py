"""The stage "pairs": for voice cloning, each row with a reference: another row of the same speaker."""

import dataclasses
import io
import json
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from voice_core.corpus.dataset import schemas
from voice_core.corpus.dataset.rows_stage import has_codec, list_parquet_files, row_key, source_stage, write_rows
from voice_core.corpus.dataset.speakers import SpeakerScope, speaker_identity
from voice_core.corpus.dataset.splits import require_splits
from voice_core.corpus.dataset.text_normalization import hash_text
from voice_core.corpus.evicted import EvictedFiles, dataset_stage_name, unmark_evicted
from voice_core.corpus.manifest import Entry, Manifest, read_complete_manifest
from voice_core.corpus.names import NEUTTS, PAIRS, SPLITS
from voice_core.corpus.presence import are_files_intact
from voice_core.corpus.segment.rebuild import RebuildSources
from voice_core.fingerprint import fingerprint, hash_to_unit_interval, sha256
from voice_core.layout import DatasetLayout, PartitionKey
from voice_core.settings import Settings
from voice_core.storage.distributed_lock import hold_lock
from voice_core.storage.state_files import find_valid_state, parse_state
from voice_core.storage.store import Store

PAIRS_VERSION = 1
_SCOPED_VERSION = 2


@dataclass(frozen=True, slots=True)
class Pair:
    reference: Entry
    target: Entry


@dataclass(frozen=True, slots=True)
class PairsRecord:
    """The commit record. `speakers` counts people, as defined by `split.speaker_scope`; `skipped` counts rows without a
    reference, by reason."""

    inputs: str
    pairs: int
    speakers: int
    skipped: dict[str, int]
    files: list[dict[str, str | int]]

    def to_bytes(self) -> bytes:
        return (json.dumps(dataclasses.asdict(self), indent=1) + "\n").encode()

    @property
    def data_version(self) -> str:
        return fingerprint(dataclasses.asdict(self))

    @property
    def hashes(self) -> dict[str, str]:
        """SHA-256 by key of the Parquet files."""
        return {str(item["key"]): str(item["sha256"]) for item in self.files}


def choose_pairs(entries: Iterable[Entry], speaker_scope: SpeakerScope) -> tuple[list[Pair], dict[str, int]]:
    """Give each kept row a reference: another segment of the same person and split, with another text. Pure.

    References are of the same partition, and of the same recording if speaker ids are only valid within a recording.
    The choice depends on hashes alone.
    """
    people: dict[tuple[str, ...], list[Entry]] = defaultdict(list)
    skipped: dict[str, int] = defaultdict(int)
    for entry in entries:
        if not entry.kept:
            continue
        if not entry.speaker_id:
            skipped["no_speaker"] += 1
        else:
            people[entry.split, *speaker_identity(speaker_scope, "", entry.audio_id, entry.speaker_id)].append(entry)
    pairs = []
    for who in sorted(people):
        for target in people[who]:
            reference = _choose_reference(target, people[who])
            if reference is None:
                skipped["only_segment_of_speaker"] += 1
            else:
                pairs.append(Pair(reference, target))
    return pairs, dict(sorted(skipped.items()))


def _choose_reference(target: Entry, others: Sequence[Entry]) -> Entry | None:
    """The first segment with another text, from a hashed position on, so that choices are evenly distributed."""
    start = int(hash_to_unit_interval("pair", target.audio_id, target.index, target.fingerprint) * len(others))
    target_hash = hash_text(target.text)
    for step in range(len(others)):
        candidate = others[(start + step) % len(others)]
        if candidate is not target and hash_text(candidate.text) != target_hash:
            return candidate
    return None


def stage_inputs(dataset: Manifest, settings: Settings) -> str:
    scope = settings.split.speaker_scope
    # Version 1 counted a speaker once per recording in every scope.
    version = PAIRS_VERSION if scope == "recording" else _SCOPED_VERSION
    return fingerprint(version, dataset.data_version, scope)


def _record_key(partition: PartitionKey, settings: Settings) -> str:
    return DatasetLayout(settings.dataset).pairs_record_key(partition)


def read_pairs(work: Store, partition: PartitionKey, settings: Settings) -> PairsRecord | None:
    """The commit record; None if it is missing or damaged: the pairs are written again then."""
    return find_valid_state(work, _record_key(partition, settings), parse_pairs)


def parse_pairs(work: Store, key: str, data: bytes) -> PairsRecord:
    return parse_state(work, key, data, PairsRecord, prepare=_validate)


def _validate(value: dict[str, Any]) -> dict[str, Any]:
    if not all(isinstance(item["key"], str) and isinstance(item["sha256"], str) for item in value["files"]):
        raise ValueError("a file without a key or a checksum")
    return value


def build_pairs(
    work: Store,
    dataset: Manifest,
    settings: Settings,
    *,
    verify: bool = False,
    rebuild_sources: RebuildSources | None = None,
) -> PairsRecord:
    """Write the pairs of a partition whose rows are complete, unless they are current.

    With `verify`, their content is compared, too. Evicted rows that are needed are rebuilt from `rebuild_sources`.
    Waits while another process works on the partition.
    """
    partition = PartitionKey.parse(dataset.partition)
    with hold_lock(work, str(partition)) as work:
        there = read_pairs(work, partition, settings)
        current = there is not None and there.inputs == stage_inputs(dataset, settings)
        if there is not None and current and are_files_intact(work, there.files, verify=verify):
            return there
        freed = EvictedFiles(work)
        if any(freed.contains(key, digest) for key, digest in list_parquet_files(dataset)):
            source = read_complete_manifest(work, source_stage(settings), partition)
            write_rows(work, source, require_splits(work, settings), settings, rebuild_sources)
        return write_pairs(work, dataset, settings)


def write_pairs(work: Store, dataset: Manifest, settings: Settings) -> PairsRecord:
    """Write the pairs of a partition whose lock is held, even if they are current."""
    partition = PartitionKey.parse(dataset.partition)
    layout = DatasetLayout(settings.dataset)
    pairs, skipped = choose_pairs(dataset.entries, settings.split.speaker_scope)
    work.delete([_record_key(partition, settings)])
    files: list[dict[str, str | int]] = []
    for split in SPLITS:
        key = layout.rows_key(PAIRS, partition, split)
        pairs_of_split = [pair for pair in pairs if pair.target.split == split]
        if not pairs_of_split:
            work.delete([key])
            continue
        codes = _read_codes(work, layout.rows_key(NEUTTS, partition, split)) if has_codec(settings) else None
        data = _to_parquet(pairs_of_split, dataset, codes, settings.display_name(partition.channel))
        work.put(key, data)
        files.append(
            {"key": key, "sha256": sha256(data), "size_bytes": len(data), "rows": len(pairs_of_split), "config": PAIRS,
             "split": split}
        )  # fmt: skip
    scope = settings.split.speaker_scope
    speakers = {
        speaker_identity(scope, partition.channel, pair.target.audio_id, pair.target.speaker_id) for pair in pairs
    }
    report = PairsRecord(stage_inputs(dataset, settings), len(pairs), len(speakers), skipped, files)
    work.put(_record_key(partition, settings), report.to_bytes())
    unmark_evicted(work, dataset_stage_name(settings.dataset), partition, {str(item["key"]) for item in files})
    return report


def _read_codes(work: Store, key: str) -> dict[str, pa.Scalar]:
    table = pq.read_table(io.BytesIO(work.get(key)), columns=["__key__", "codes"])
    return dict(zip(table["__key__"].to_pylist(), table["codes"], strict=True))


def _to_parquet(pairs: Sequence[Pair], dataset: Manifest, codes: dict[str, pa.Scalar] | None, channel: str) -> bytes:
    columns: dict[str, list[object]] = {
        "speaker_id": [pair.target.speaker_id for pair in pairs],
        "channel": [channel] * len(pairs),
    }
    for side in ("reference", "target"):
        entries: list[Entry] = [getattr(pair, side) for pair in pairs]
        keys = [row_key(dataset.partition, entry) for entry in entries]
        columns[f"{side}_key"] = list(keys)
        columns[f"{side}_text"] = [entry.text for entry in entries]
        columns[f"{side}_duration_sec"] = [entry.duration_sec for entry in entries]
        if codes is not None:
            columns[f"{side}_codes"] = [codes[key].as_py() for key in keys]
    schema = schemas.pairs_schema(with_codes=codes is not None)
    sink = io.BytesIO()
    pq.write_table(pa.table({name: columns[name] for name in schema.names}, schema=schema), sink, compression="zstd")
    return sink.getvalue()
