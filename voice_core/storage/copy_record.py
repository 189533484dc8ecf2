"""The record of copies into a store: which of its objects have the same bytes as which objects of the source.

Stores identify the same bytes differently (by an etag, a generation, a modification time). With this record a second
copy needs two listings and no bodies. It is a folder of Parquet files at the destination. Files are only added and, at
the end of a copy, merged into one: a copy that is killed keeps its entries, and two copies at once do not overwrite
each other. If the folder is deleted, the next copy compares the contents again.
"""

import io
import os
import sys
import time
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.parquet as pq

from voice_core.storage.store import Store

COPY_RECORD_FOLDER = ".voice-copy/"
_FLUSH_SEC = 10.0
_FLUSH_ROWS = 50_000
_SCHEMA = pa.schema(
    [(name, pa.string()) for name in ("key", "source_url", "source_identity", "target_identity", "sha256")]
)


@dataclass(frozen=True, slots=True)
class CopiedObject:
    """Two objects with the same bytes, whose hash is `sha256`.

    It holds for the object at the destination as long as its identity is `target_identity`, and for the object of
    `source_url` as long as its identity is `source_identity`.
    """

    source_url: str
    source_identity: str
    target_identity: str
    sha256: str


class CopyRecord:
    """The record at one destination. With `keep=False` nothing is read or written."""

    def __init__(self, store: Store, *, keep: bool = True) -> None:
        self._store = store
        self._keep = keep
        self._parts: list[str] = []
        self._known: dict[str, CopiedObject] = {}
        self._new: dict[str, CopiedObject] = {}
        self._flushed = time.monotonic()
        if keep:
            self._load()

    def _load(self) -> None:
        for key in sorted(item.key for item in self._store.listing(COPY_RECORD_FOLDER)):
            data = self._store.find(key)
            if data is None:
                continue  # another copy merged it since
            self._parts.append(key)
            try:
                table = pq.read_table(io.BytesIO(data))
                table = table.select(_SCHEMA.names).cast(_SCHEMA)
            except (pa.ArrowException, KeyError, ValueError):
                continue  # not a record, or incomplete: its objects are compared again
            if any(column.null_count for column in table.columns):
                continue
            columns = [table[name].to_pylist() for name in _SCHEMA.names]
            self._known.update(
                (name, CopiedObject(sys.intern(url), *rest)) for name, url, *rest in zip(*columns, strict=True)
            )

    def find(self, key: str) -> CopiedObject | None:
        return self._known.get(key)

    def note(self, key: str, known: CopiedObject) -> None:
        """Add an entry for the next copy. Entries are written every few seconds."""
        if not self._keep:
            return
        self._known[key] = self._new[key] = known
        if len(self._new) >= _FLUSH_ROWS or time.monotonic() - self._flushed > _FLUSH_SEC:
            self.flush()

    def forget(self, key: str) -> None:
        self._known.pop(key, None)

    def flush(self) -> None:
        """Write the new entries."""
        if self._new:
            self._parts.append(self._write(self._new))
            self._new = {}
        self._flushed = time.monotonic()

    def close(self) -> None:
        """Write the new entries, and merge all files into one."""
        self.flush()
        if len(self._parts) > 1:
            merged = self._write(self._known)
            self._store.delete(part for part in self._parts if part != merged)
            self._parts = [merged]

    def _write(self, rows: dict[str, CopiedObject]) -> str:
        columns = [
            list(rows),
            *([getattr(known, name) for known in rows.values()] for name in _SCHEMA.names[1:]),
        ]
        sink = io.BytesIO()
        pq.write_table(pa.table(dict(zip(_SCHEMA.names, columns, strict=True)), schema=_SCHEMA), sink)
        key = f"{COPY_RECORD_FOLDER}{time.time_ns():020d}-{os.getpid()}.parquet"
        self._store.put(key, sink.getvalue())
        return key
