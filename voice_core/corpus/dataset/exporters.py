"""The configs of the dataset with one row a segment: what is written to each, declared in one list.

docs/extending.md shows how to add one. The config "pairs" is a stage of its own (`pairs.py`).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from voice_core.corpus.dataset import schemas
from voice_core.corpus.manifest import Entry, Manifest
from voice_core.corpus.names import FULL, NEUTTS, PAIRS
from voice_core.layout import PartitionKey, segment_name
from voice_core.settings import Settings


@dataclass(frozen=True, slots=True)
class Row:
    """A row of the dataset: its manifest entry, its audio as FLAC, and int32 codes of shape [codes]."""

    entry: Entry
    flac: bytes
    codes: npt.NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class Exporter:
    """A config of the dataset.

    `schema(with_codes=, sample_rate_hz=)` is the schema of its files. `make_table(rows, source, settings)` makes a row
    group of a few rows of one split; `source` is the manifest of the stage before. `columns` describes the columns that
    no other config has, for the card. A config that `needs_codes` is left out of a dataset without codes.
    """

    config: str
    description: str
    schema: Callable[..., pa.Schema]
    make_table: Callable[[Sequence[Row], Manifest, Settings], pa.Table]
    needs_codes: bool = False
    columns: Mapping[str, str] = field(default_factory=dict)


def has_codec(settings: Settings) -> bool:
    return settings.codec != "none"


def row_key(partition: str, entry: Entry) -> str:
    """`__key__` of a row: unique within the dataset, and stable while the line keeps its number."""
    return f"{PartitionKey.parse(partition).channel}/{segment_name(entry.audio_id, entry.index)}"


def _make_full_table(good: Sequence[Row], source: Manifest, settings: Settings) -> pa.Table:
    with_codes = has_codec(settings)
    schema = schemas.full_schema(settings.cut.sample_rate_hz, with_codes=with_codes)
    recordings = {recording.audio_id: recording for recording in source.recordings}
    channel = settings.display_name(PartitionKey.parse(source.partition).channel)
    rate = source.sample_rate_hz
    columns: dict[str, list[Any] | pa.Array] = {}
    for name in schema.names:
        if name in Entry.__dataclass_fields__ and name not in ("start_sec", "end_sec"):
            columns[name] = [getattr(row.entry, name) for row in good]
    columns |= {
        "__key__": [row_key(source.partition, row.entry) for row in good],
        "audio": pa.StructArray.from_arrays(
            [
                pa.array([row.flac for row in good], pa.binary()),
                pa.array([f"{segment_name(row.entry.audio_id, row.entry.index)}.flac" for row in good]),
            ],
            names=["bytes", "path"],
        ),
        "channel": [channel] * len(good),
        "start_sec": [_to_sec(row.entry.cut_start, rate) for row in good],
        "end_sec": [_to_sec(row.entry.cut_stop, rate) for row in good],
        "raw_key": [recordings[row.entry.audio_id].raw_key for row in good],
        "raw_sha256": [recordings[row.entry.audio_id].audio_sha256 for row in good],
        "transcript_sha256": [recordings[row.entry.audio_id].transcript_sha256 for row in good],
        "segment_sha256": [row.entry.sha256 for row in good],
        "code_version": [_code_version(source)] * len(good),
    }
    if with_codes:
        columns |= {
            "codes": _codes_column([row.codes for row in good]),
            "codec": [source.parameters["codec"]] * len(good),
            "codec_revision": [source.parameters["revision"]] * len(good),
        }
    return pa.table({name: columns[name] for name in schema.names}, schema=schema)


def _to_sec(sample: int | None, rate: int) -> float | None:
    """Seconds of a sample number; None for adopted segments, whose position is unknown."""
    return None if sample is None else sample / rate


def _code_version(source: Manifest) -> str:
    """Versions of all code that the files depend on, such as "cut1-measure1-code1-roundtrip1"."""
    versions = (source.parameters.get("cut", {}).get("code"), source.parameters.get("code"))
    return "-".join(version for version in versions if version)


def _make_neutts_table(good: Sequence[Row], source: Manifest, settings: Settings) -> pa.Table:
    columns = {
        "__key__": [row_key(source.partition, row.entry) for row in good],
        "text": [row.entry.text for row in good],
        "codes": _codes_column([row.codes for row in good]),
    }
    return pa.table(columns, schema=schemas.neutts_schema())


def _codes_column(codes: Sequence[npt.NDArray[np.int32]]) -> pa.Array:
    offsets = np.cumsum([0, *map(len, codes)])
    values = np.concatenate(codes)
    return pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), pa.array(values, pa.int32()))


def _neutts_schema(*, with_codes: bool, sample_rate_hz: int) -> pa.Schema:
    return schemas.neutts_schema()


def _full_schema(*, with_codes: bool, sample_rate_hz: int) -> pa.Schema:
    return schemas.full_schema(sample_rate_hz, with_codes=with_codes)


FULL_EXPORTER = Exporter(
    FULL, "every segment with its audio, text, labels, measures and provenance", _full_schema, _make_full_table
)
NEUTTS_EXPORTER = Exporter(
    NEUTTS,
    "exactly what NeuTTS fine-tuning reads: key, text, codes",
    _neutts_schema,
    _make_neutts_table,
    needs_codes=True,
)
EXPORTERS: tuple[Exporter, ...] = (
    FULL_EXPORTER,
    NEUTTS_EXPORTER,
)
ROW_CONFIGS: tuple[str, ...] = tuple(exporter.config for exporter in EXPORTERS)
CONFIGS: tuple[str, ...] = (*ROW_CONFIGS, PAIRS)
"""The names of all configs, in the order of the card."""


def config_schemas(*, with_codes: bool, sample_rate_hz: int = 24_000) -> dict[str, pa.Schema]:
    """The schema of each config that a dataset can have."""
    found = {item.config: item.schema(with_codes=with_codes, sample_rate_hz=sample_rate_hz) for item in EXPORTERS}
    return {**found, PAIRS: schemas.pairs_schema(with_codes=with_codes)}
