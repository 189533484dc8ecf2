"""The manifest: what one stage of one partition made, and what became of everything else.

It is a Parquet file, readable alone, and the commit record: data counts when a complete manifest lists it.
While a stage works, its manifest is incomplete and lists what is already done, so that a run that was killed
goes on from there, and nobody takes the partition for finished.
"""

import dataclasses
import io
import json
import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal, overload

import pyarrow as pa
import pyarrow.parquet as pq

from voice_core.fingerprint import canonical_json, sha256
from voice_core.layout import PartitionKey, manifest_key
from voice_core.stages.labels import Labels, ordered_fields
from voice_core.storage.state_files import DamagedStateError, NewerSchemaError, NewerStateError
from voice_core.storage.store import Store

SCHEMA_VERSION = 1
_log = logging.getLogger(__name__)
_METADATA_KEY = b"voice_manifest"


@dataclass(frozen=True, slots=True)
class Keep:
    """A rule has nothing against the segment."""


@dataclass(frozen=True, slots=True)
class Reject:
    """Why something is left out, at which stage, and how far it was from being kept."""

    stage: str
    reason: str
    value: float | None = None
    threshold: float | None = None
    message: str = ""


Verdict = Keep | Reject
KEEP = Keep()
FilesByKey = dict[str, tuple[int, str]]  # size in bytes and SHA-256 by key


@dataclass(frozen=True, slots=True)
class Entry(Labels):
    """One row: a transcript line with its labels, the untranscribed rest of a recording, or a recording left out whole.

    `sample_count` is the part of the recording that this row answers for; over all rows of a recording it adds
    up to the recording's length.
    """

    kind: Literal["line", "rest", "recording"]
    audio_id: str
    index: int = -1
    start_sec: float | None = None
    end_sec: float | None = None
    cut_start: int | None = None  # samples from the start of the recording
    cut_stop: int | None = None
    sample_count: int = 0
    kept: bool = False
    stage: str = ""
    reason: str = ""
    value: float | None = None
    threshold: float | None = None
    message: str = ""
    text: str = ""
    # The file, where there is one.
    key: str = ""
    sha256: str = ""
    size_bytes: int = 0
    fingerprint: str = ""
    # Measures of the cut audio.
    duration_sec: float | None = None
    peak_dbfs: float | None = None
    rms_dbfs: float | None = None
    clipped_share: float | None = None
    silence_share: float | None = None
    snr_db: float | None = None
    bandwidth_hz: float | None = None
    chars_per_sec: float | None = None
    # Codes.
    code_count: int = 0
    distinct_codes: int = 0
    roundtrip_mel_db: float | None = None
    roundtrip_level_db: float | None = None
    agreement: float | None = None  # share of codes that the codec's plain path gives, too
    # The dataset.
    split: str = ""
    neutts_drop: str = ""

    def with_verdict(self, verdict: Verdict) -> "Entry":
        """This row with a verdict in place of the one it had."""
        if isinstance(verdict, Keep):
            return dataclasses.replace(self, kept=True, stage="", reason="", value=None, threshold=None, message="")
        return dataclasses.replace(
            self,
            kept=False,
            stage=verdict.stage,
            reason=verdict.reason,
            value=verdict.value,
            threshold=verdict.threshold,
            message=verdict.message,
        )

    @property
    def order(self) -> tuple[str, int, int]:
        """Rows stand by recording, lines first, in the transcript's order."""
        return self.audio_id, 0 if self.kind == "line" else 1, self.index


RecordingStatus = Literal["ok", "damaged", "unreadable", "unreachable", "no_transcript", "bad_transcript", "vanished"]


@dataclass(frozen=True, slots=True)
class RecordingOutcome:
    """What was found of one recording."""

    audio_id: str
    raw_key: str
    status: RecordingStatus
    sample_count: int
    audio_sha256: str = ""
    transcript_key: str = ""
    transcript_sha256: str = ""
    message: str = ""

    @property
    def has_problem(self) -> bool:
        return self.status != "ok"


@dataclass(frozen=True, slots=True)
class Manifest:
    stage: str
    partition: str
    complete: bool
    sample_rate_hz: int
    inputs: str  # fingerprint of everything that this stage's result depends on
    parameters: dict[str, Any]
    recordings: tuple[RecordingOutcome, ...] = ()
    entries: Sequence[Entry] = field(default=(), repr=False)
    _hash: str = field(default="", init=False, repr=False, compare=False)  # not taken over by dataclasses.replace

    def kept(self) -> list[Entry]:
        return [entry for entry in self.entries if entry.kept]

    def files(self) -> list[Entry]:
        """Rows that have a file, kept or not."""
        return [entry for entry in self.entries if entry.key]

    def files_by_key(self) -> FilesByKey:
        """The files of all rows. Of a manifest that was read lazily no row becomes an entry for it.

        Raises `UnreadableRowsError`.
        """
        if isinstance(self.entries, _LazyEntries):
            try:
                return self.entries.files()
            except (pa.ArrowException, OSError, KeyError) as error:
                raise UnreadableRowsError(f"the rows of its manifest cannot be read: {error}") from None
        return {entry.key: (entry.size_bytes, entry.sha256) for entry in self.entries if entry.key}

    @property
    def data_version(self) -> str:
        """Hash of the manifest's file: equal exactly when the manifests are equal."""
        return self._hash or sha256(self.to_bytes())[:32]

    def _metadata(self) -> dict[str, Any]:
        return {
            "schema_version": SCHEMA_VERSION,
            "stage": self.stage,
            "partition": self.partition,
            "complete": self.complete,
            "sample_rate_hz": self.sample_rate_hz,
            "inputs": self.inputs,
            "parameters": self.parameters,
            "recordings": [dataclasses.asdict(recording) for recording in self.recordings],
        }

    def to_bytes(self) -> bytes:
        columns = {name: [getattr(entry, name) for entry in self.entries] for name in _SCHEMA.names}
        schema = _SCHEMA.with_metadata({_METADATA_KEY: canonical_json(self._metadata()).encode()})
        sink = io.BytesIO()
        pq.write_table(pa.table(columns, schema=schema), sink, compression="zstd")
        return sink.getvalue()

    @classmethod
    def from_bytes(cls, data: bytes, *, lazily: bool = False) -> "Manifest":
        """With `lazily`, rows become entries when somebody first looks at them."""
        rows = _LazyEntries(data)
        meta = json.loads((pq.read_schema(io.BytesIO(data)).metadata or {})[_METADATA_KEY])
        if meta["schema_version"] > SCHEMA_VERSION:
            raise NewerSchemaError(meta["schema_version"])
        manifest = cls(
            stage=meta["stage"],
            partition=meta["partition"],
            complete=meta["complete"],
            sample_rate_hz=meta["sample_rate_hz"],
            inputs=meta["inputs"],
            parameters=meta["parameters"],
            recordings=tuple(RecordingOutcome(**recording) for recording in meta["recordings"]),
            entries=rows if lazily else tuple(rows),
        )
        object.__setattr__(manifest, "_hash", sha256(data)[:32])
        return manifest


class UnreadableRowsError(ValueError):
    """The rows of a manifest that was read lazily are damaged."""


class _LazyEntries(Sequence[Entry]):
    """The rows of a manifest's file: of a thousand manifests most are only asked whether they are current."""

    def __init__(self, data: bytes) -> None:
        # Held as long as this lives: a thread of Arrow's that let go of it last, while Python ends, would abort it.
        self._buffer = pa.py_buffer(data)

    @cached_property
    def _entries(self) -> tuple[Entry, ...]:
        return tuple(Entry(**row) for row in pq.read_table(pa.BufferReader(self._buffer)).to_pylist())

    def files(self) -> FilesByKey:
        names = ["key", "size_bytes", "sha256"]
        table = pq.ParquetFile(pa.BufferReader(self._buffer)).read(columns=names, use_threads=False)
        columns = (table[name].to_pylist() for name in names)
        return {key: (size, digest) for key, size, digest in zip(*columns, strict=True) if key}

    def __len__(self) -> int:
        return len(self._entries)

    @overload
    def __getitem__(self, index: int) -> Entry: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Entry]: ...
    def __getitem__(self, index: int | slice) -> Entry | Sequence[Entry]:
        return self._entries[index]


_ARROW_TYPES = {
    "int": pa.int64(),
    "float": pa.float64(),
    "bool": pa.bool_(),
    "str": pa.string(),
}


def _arrow_field(item: dataclasses.Field[Any]) -> pa.Field:
    annotation = str(item.type) if not isinstance(item.type, type) else item.type.__name__
    base = "str" if annotation.startswith("typing.Literal") else annotation.removesuffix(" | None")
    return pa.field(item.name, _ARROW_TYPES[base], nullable=annotation.endswith("| None"))


_SCHEMA = pa.schema([_arrow_field(item) for item in ordered_fields(Entry)])


def sorted_entries(entries: Iterable[Entry]) -> tuple[Entry, ...]:
    return tuple(sorted(entries, key=lambda entry: entry.order))


def read_manifest(store: Store, stage: str, partition: PartitionKey, *, lazily: bool = False) -> Manifest | None:
    """The manifest of a stage as it lies there, complete or not; None where there is none or it is unreadable.

    An unreadable one counts as none: it was made from things that still exist, and is made again.
    """
    manifest = load_manifest(store, manifest_key(stage, partition), lazily=lazily)
    return manifest if manifest is not None and manifest.stage == stage else None


def load_manifest(store: Store, key: str, *, lazily: bool = False) -> Manifest | None:
    data = store.find(key)
    if data is None:
        return None
    try:
        return parse_manifest(store, key, data, lazily=lazily)
    except DamagedStateError as error:
        _log.warning("%s; it counts as missing", error)
        return None


def parse_manifest(store: Store, key: str, data: bytes, *, lazily: bool = False) -> Manifest:
    """The manifest `data`, that lies at `key`. Raises `DamagedStateError` and `NewerStateError`."""
    if not data:
        raise DamagedStateError(store, key, "is empty")
    try:
        manifest = Manifest.from_bytes(data, lazily=lazily)
    except NewerSchemaError as error:
        raise NewerStateError(store, key, error.version, SCHEMA_VERSION) from None
    except (pa.ArrowException, OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise DamagedStateError(store, key, f"is not a manifest: {error}") from None
    channel_and_batch = "/".join(key.removesuffix("/_manifest.parquet").removesuffix(".parquet").split("/")[-2:])
    if manifest.partition != channel_and_batch:
        raise DamagedStateError(store, key, f"is the manifest of {manifest.partition}")
    return manifest


def read_complete_manifest(store: Store, stage: str, partition: PartitionKey) -> Manifest:
    """The committed manifest of a stage. Raises `LookupError` that says which stage to run first."""
    manifest = read_manifest(store, stage, partition)
    if manifest is None or not manifest.complete:
        raise LookupError(f"{partition} has no finished stage '{stage}' under {store.url}: build that first")
    return manifest


def write_manifest(store: Store, manifest: Manifest) -> None:
    store.put(manifest_key(manifest.stage, PartitionKey.parse(manifest.partition)), manifest.to_bytes())
