"""The stored form of a manifest, which is the commit record of one stage of one partition.

A manifest is a Parquet file: a row for each thing that went into the stage, and a JSON object in the file's metadata.
A frozen dataclass declares the rows. Each pipeline has its own rows and its own manifest class, and one
`ManifestFormat` that says how they are stored.
"""

import dataclasses
import io
import json
import logging
import types
import typing
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any, Generic, Literal, Protocol, TypeVar, overload

import pyarrow as pa
import pyarrow.parquet as pq

from voice_core.fingerprint import canonical_json
from voice_core.stages.packed_rows import keep_rows
from voice_core.storage.state_files import DamagedStateError, NewerSchemaError, NewerStateError
from voice_core.storage.store import Store

Row = TypeVar("Row")
_log = logging.getLogger(__name__)
_ROWS_AT_ONCE = 4_096
"""Rows that are read or written at once, so that a long manifest is never in memory as a whole."""
_ARROW_TYPES = {int: pa.int64(), float: pa.float64(), bool: pa.bool_(), str: pa.string()}
_READ_ERRORS = (pa.ArrowException, OSError, ValueError, KeyError, TypeError, AttributeError)


class StageManifest(Protocol):
    """What every pipeline's manifest has. `complete` is false while its stage is at work."""

    @property
    def partition(self) -> str: ...
    @property
    def complete(self) -> bool: ...
    def to_bytes(self) -> bytes: ...


M = TypeVar("M", bound=StageManifest)


class UnreadableRowsError(ValueError):
    """The rows of a manifest that was read lazily are damaged."""


class LazyRows(Sequence[Row]):
    """The rows of a manifest's file, parsed on first access: most manifests are only asked whether they are current.

    Those of a long manifest are parsed piece by piece and kept packed.
    """

    def __init__(self, row_type: type[Row], data: bytes, marks: Sequence[str] = ()) -> None:
        self._row_type, self._marks = row_type, marks
        # Held as long as this object lives: an Arrow thread that releases it last during interpreter shutdown aborts.
        self._buffer = pa.py_buffer(data)

    @cached_property
    def _parsed(self) -> tuple[Sequence[Row], dict[str, list[bool]]]:
        """The rows, and the marks by name."""
        file = pq.ParquetFile(pa.BufferReader(self._buffer))
        marked: dict[str, list[bool]] = {name: [] for name in self._marks}

        def parse() -> Iterator[Row]:
            for batch in file.iter_batches(_ROWS_AT_ONCE, use_threads=False):
                for record in batch.to_pylist():
                    for name in self._marks:
                        marked[name].append(bool(record.pop(name, False)))
                    yield self._row_type(**record)

        return keep_rows(parse()), marked

    @property
    def _rows(self) -> Sequence[Row]:
        return self._parsed[0]

    def marked(self, name: str) -> list[bool]:
        """The column `name`, which is not a field of the rows; false everywhere in a file without it."""
        return self._parsed[1][name]

    def columns(self, *names: str) -> list[list[Any]]:
        """Some columns alone, without parsing the rows. Raises `UnreadableRowsError`."""
        try:
            table = pq.ParquetFile(pa.BufferReader(self._buffer)).read(columns=[*names], use_threads=False)
            return [table[name].to_pylist() for name in names]
        except (pa.ArrowException, OSError, KeyError) as error:
            raise UnreadableRowsError(f"the rows of its manifest cannot be read: {error}") from None

    def __len__(self) -> int:
        return len(self._rows)

    @overload
    def __getitem__(self, index: int) -> Row: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Row]: ...
    def __getitem__(self, index: int | slice) -> Row | Sequence[Row]:
        return self._rows[index]

    def __iter__(self) -> Iterator[Row]:
        return iter(self._rows)


class ManifestFormat(Generic[Row]):
    """How one kind of manifest is stored.

    `metadata_key` names the JSON object in the Parquet metadata. `version` is the newest format that this program
    reads, and the one that it writes. `marks` are boolean columns after the fields of the row. `columns` gives the
    fields in another order than the row's.
    """

    def __init__(
        self,
        row_type: type[Row],
        metadata_key: str,
        version: int,
        marks: Sequence[str] = (),
        *,
        columns: Sequence[str] = (),
    ) -> None:
        self.version = version
        self._row_type, self._metadata_key, self._marks = row_type, metadata_key.encode(), tuple(marks)
        self.schema = arrow_schema(row_type, marks, columns)

    def to_bytes(self, metadata: Mapping[str, Any], rows: Sequence[Row], **marked: Sequence[bool]) -> bytes:
        """The file's content: equal arguments give equal bytes. `marked` has the values of each mark."""
        meta = canonical_json({"schema_version": self.version, **metadata}).encode()
        schema = self.schema.with_metadata({self._metadata_key: meta})
        sink = io.BytesIO()
        with pq.ParquetWriter(sink, schema, compression="zstd") as writer:
            for start in range(0, max(1, len(rows)), _ROWS_AT_ONCE):
                part = slice(start, start + _ROWS_AT_ONCE)
                some = [*rows[part]]
                columns: dict[str, Sequence[Any]] = {
                    name: marked[name][part] if name in self._marks else [getattr(row, name) for row in some]
                    for name in schema.names
                }
                writer.write_table(pa.table(columns, schema=schema))
        return sink.getvalue()

    def from_bytes(self, data: bytes) -> tuple[dict[str, Any], LazyRows[Row]]:
        """Metadata and rows. Raises `NewerSchemaError`, and KeyError or ValueError for what is not such a manifest."""
        rows = LazyRows(self._row_type, data, self._marks)
        metadata = json.loads((pq.read_schema(io.BytesIO(data)).metadata or {})[self._metadata_key])
        version = metadata.pop("schema_version")
        if version > self.version:
            raise NewerSchemaError(version)
        return metadata, rows

    def parse(self, store: Store, key: str, data: bytes, partition: str, from_bytes: Callable[[bytes], M]) -> M:
        """The manifest `data` at `key`, which must be that of `partition`.

        Raises `DamagedStateError` and `NewerStateError`.
        """
        if not data:
            raise DamagedStateError(store, key, "is empty")
        try:
            manifest = from_bytes(data)
        except NewerSchemaError as error:
            raise NewerStateError(store, key, error.version, self.version) from None
        except _READ_ERRORS as error:
            raise DamagedStateError(store, key, f"is not a manifest: {error}") from None
        if manifest.partition != partition:
            raise DamagedStateError(store, key, f"is the manifest of {manifest.partition}")
        return manifest


def load_stored_manifest(store: Store, key: str, parse: Callable[[Store, str, bytes], M]) -> M | None:
    """The manifest at `key`, complete or not; None where there is none or it is damaged.

    A damaged manifest counts as missing: what it was made from still exists, and it is made again. Raises
    `NewerStateError`.
    """
    data = store.find(key)
    if data is None:
        return None
    try:
        return parse(store, key, data)
    except DamagedStateError as error:
        _log.warning("%s; it counts as missing", error)
        return None


def arrow_schema(row_type: type[Any], marks: Sequence[str] = (), columns: Sequence[str] = ()) -> pa.Schema:
    """A column for each field of a dataclass, in their order or that of `columns`: str, int, float, bool or a Literal
    of strings, nullable where None is allowed. Then a boolean column for each mark.

    >>> row = dataclasses.make_dataclass("row", [("kind", Literal["a", "b"]), ("value", float | None)])
    >>> [(field.name, str(field.type), field.nullable) for field in arrow_schema(row, ["set_aside"])]
    [('kind', 'string', False), ('value', 'double', True), ('set_aside', 'bool', False)]
    """
    hints = typing.get_type_hints(row_type)
    names = columns or [item.name for item in dataclasses.fields(row_type)]
    fields = [_arrow_field(name, hints[name]) for name in names]
    return pa.schema([*fields, *(pa.field(name, pa.bool_(), nullable=False) for name in marks)])


def _arrow_field(name: str, annotation: Any) -> pa.Field:
    nullable = typing.get_origin(annotation) in (types.UnionType, typing.Union)
    if nullable:
        (annotation,) = (item for item in typing.get_args(annotation) if item is not types.NoneType)
    base = str if typing.get_origin(annotation) is Literal else annotation
    return pa.field(name, _ARROW_TYPES[base], nullable=nullable)
