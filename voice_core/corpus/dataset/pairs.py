"""The stage "pairs": for voice cloning, each row with another row of the same speaker as its reference."""

import dataclasses
import io
import json
import logging
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from voice_core.corpus.dataset import schemas
from voice_core.corpus.dataset.rows_stage import has_codec, parquet_files, row_key, source_stage, write_rows
from voice_core.corpus.dataset.speakers import SpeakerScope, person
from voice_core.corpus.dataset.splits import require_splits
from voice_core.corpus.dataset.text_normalization import text_hash
from voice_core.corpus.names import NEUTTS, PAIRS, SPLITS
from voice_core.corpus.segment.rebuild import Supply
from voice_core.fingerprint import fingerprint, sha256, unit_interval
from voice_core.layout import DatasetLayout, PartitionKey
from voice_core.settings import Settings
from voice_core.stages.evicted import FreedFiles, dataset_place, no_longer_freed
from voice_core.stages.manifest import Entry, Manifest, read_complete
from voice_core.storage.distributed_lock import held
from voice_core.storage.state_files import DamagedStateError, parse_state
from voice_core.storage.store import Store

PAIRS_VERSION = 1
_COUNTED_BY_SCOPE = 2
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Pair:
    reference: Entry
    target: Entry


@dataclass(frozen=True, slots=True)
class PairsReport:
    """The commit record. `speakers` counts people, as `split.speaker_scope` tells them apart; `skipped` counts rows
    that got no reference, by reason."""

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


def plan_pairs(entries: Iterable[Entry], speaker_scope: SpeakerScope) -> tuple[list[Pair], dict[str, int]]:
    """Give each kept row a reference: another segment of the same person and split, with another text. Pure.

    References stay within the partition, and within the recording where speaker ids mean no more than that.
    Which one is chosen follows from hashes alone.
    """
    people: dict[tuple[str, ...], list[Entry]] = defaultdict(list)
    skipped: dict[str, int] = defaultdict(int)
    for entry in entries:
        if not entry.kept:
            continue
        if not entry.speaker_id:
            skipped["no_speaker"] += 1
        else:
            people[entry.split, *person(speaker_scope, "", entry.audio_id, entry.speaker_id)].append(entry)
    pairs = []
    for who in sorted(people):
        for target in people[who]:
            reference = _reference(target, people[who])
            if reference is None:
                skipped["only_segment_of_speaker"] += 1
            else:
                pairs.append(Pair(reference, target))
    return pairs, dict(sorted(skipped.items()))


def _reference(target: Entry, others: Sequence[Entry]) -> Entry | None:
    """A pick that is even over the speaker's segments: the first with another text from a hashed place on."""
    start = int(unit_interval("pair", target.audio_id, target.index, target.fingerprint) * len(others))
    unlike = text_hash(target.text)
    for step in range(len(others)):
        candidate = others[(start + step) % len(others)]
        if candidate is not target and text_hash(candidate.text) != unlike:
            return candidate
    return None


def stage_inputs(dataset: Manifest, settings: Settings) -> str:
    scope = settings.split.speaker_scope
    # Records of the other scopes used to count a speaker once a recording.
    version = PAIRS_VERSION if scope == "recording" else _COUNTED_BY_SCOPE
    return fingerprint(version, dataset.data_version, scope)


def _record_key(partition: PartitionKey, settings: Settings) -> str:
    return DatasetLayout(settings.dataset).pairs_record_key(partition)


def read_pairs(work: Store, partition: PartitionKey, settings: Settings) -> PairsReport | None:
    """The commit record; None where there is none, or a damaged one: the pairs are made again then."""
    key = _record_key(partition, settings)
    data = work.find(key)
    try:
        return parse_pairs(work, key, data) if data is not None else None
    except DamagedStateError as error:
        _log.warning("%s; it is made again", error)
        return None


def parse_pairs(work: Store, key: str, data: bytes) -> PairsReport:
    return parse_state(work, key, data, PairsReport, prepare=_checked)


def _checked(value: dict[str, Any]) -> dict[str, Any]:
    if not all(isinstance(item["key"], str) and isinstance(item["sha256"], str) for item in value["files"]):
        raise ValueError("a file without a key or a checksum")
    return value


def build_pairs(
    work: Store, dataset: Manifest, settings: Settings, *, verify: bool = False, supply: Supply | None = None
) -> PairsReport:
    """Write the pairs of a partition whose dataset rows are finished, unless they are there and current.

    With `verify`, their content is looked at too. Rows that were freed and are needed are written again, from `supply`.
    Waits while another process works on the partition.
    """
    partition = PartitionKey.parse(dataset.partition)
    with held(work, str(partition)) as work:
        there = read_pairs(work, partition, settings)
        current = there is not None and there.inputs == stage_inputs(dataset, settings)
        if there is not None and current and _intact(work, there, verify):
            return there
        freed = FreedFiles(work)
        if any(freed.holds(key, digest) for key, digest in parquet_files(dataset)):
            source = read_complete(work, source_stage(settings), partition)
            write_rows(work, source, require_splits(work, settings), settings, supply)
        return write_pairs(work, dataset, settings)


def _intact(work: Store, record: PairsReport, verify: bool) -> bool:
    hashes = {str(item["key"]): str(item["sha256"]) for item in record.files}
    sizes = {str(item["key"]): item.get("size_bytes") for item in record.files}
    freed = FreedFiles(work)

    def one(key: str) -> bool:
        if freed.holds(key, hashes[key]):
            return True
        info = work.head(key)
        there = info is not None and sizes[key] in (None, info.size)
        return there and (not verify or work.hash(key) == hashes[key])

    return all(work.each(one, hashes))


def write_pairs(work: Store, dataset: Manifest, settings: Settings) -> PairsReport:
    """Write the pairs of a partition, whatever is there, while its claim is held."""
    partition = PartitionKey.parse(dataset.partition)
    layout = DatasetLayout(settings.dataset)
    pairs, skipped = plan_pairs(dataset.entries, settings.split.speaker_scope)
    work.delete([_record_key(partition, settings)])
    files: list[dict[str, str | int]] = []
    for split in SPLITS:
        key = layout.rows_key(PAIRS, partition, split)
        mine = [pair for pair in pairs if pair.target.split == split]
        if not mine:
            work.delete([key])
            continue
        codes = _codes(work, layout.rows_key(NEUTTS, partition, split)) if has_codec(settings) else None
        data = _parquet(mine, dataset, codes, settings.display_name(partition.channel))
        work.put(key, data)
        files.append(
            {"key": key, "sha256": sha256(data), "size_bytes": len(data), "rows": len(mine), "config": PAIRS,
             "split": split}
        )  # fmt: skip
    scope = settings.split.speaker_scope
    speakers = {person(scope, partition.channel, pair.target.audio_id, pair.target.speaker_id) for pair in pairs}
    report = PairsReport(stage_inputs(dataset, settings), len(pairs), len(speakers), skipped, files)
    work.put(_record_key(partition, settings), report.to_bytes())
    no_longer_freed(work, dataset_place(settings.dataset), partition, {str(item["key"]) for item in files})
    return report


def _codes(work: Store, key: str) -> dict[str, pa.Scalar]:
    table = pq.read_table(io.BytesIO(work.get(key)), columns=["__key__", "codes"])
    return dict(zip(table["__key__"].to_pylist(), table["codes"], strict=True))


def _parquet(pairs: Sequence[Pair], dataset: Manifest, codes: dict[str, pa.Scalar] | None, channel: str) -> bytes:
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
