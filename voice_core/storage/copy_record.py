"""What copies into a store have found out: which object there holds the same bytes as which object of the source.

Stores call the same bytes by different names (an etag, a generation, a modification time). With this record a second
copy needs two listings and no bodies. It lies in a folder of its own at the destination, as Parquet files that are
only added and, at the end of a copy, merged into one; so a copy that is killed keeps what it noted, and two copies at
once do not write over each other. Deleting the folder costs nothing but time.
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
    """`sha256` is that of the object at the destination while it is called `target_identity`, and that of the
    object of `source_url` while it is called `source_identity`."""

    source_url: str
    source_identity: str
    target_identity: str
    sha256: str


class CopyRecord:
    """The record at one destination. With `keep` False nothing is read or written."""

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
                continue  # another copy has merged it since
            self._parts.append(key)
            try:
                table = pq.read_table(io.BytesIO(data))
                table = table.select(_SCHEMA.names).cast(_SCHEMA)
            except (pa.ArrowException, KeyError, ValueError):
                continue  # not ours, or not whole: it costs a comparison, no more
            if any(column.null_count for column in table.columns):
                continue
            columns = [table[name].to_pylist() for name in _SCHEMA.names]
            self._known.update(
                (name, CopiedObject(sys.intern(url), *rest)) for name, url, *rest in zip(*columns, strict=True)
            )

    def find(self, key: str) -> CopiedObject | None:
        return self._known.get(key)

    def note(self, key: str, known: CopiedObject) -> None:
        """Keep for the next copy; written now and then."""
        if not self._keep:
            return
        self._known[key] = self._new[key] = known
        if len(self._new) >= _FLUSH_ROWS or time.monotonic() - self._flushed > _FLUSH_SEC:
            self.flush()

    def forget(self, key: str) -> None:
        self._known.pop(key, None)

    def flush(self) -> None:
        """Write what is new."""
        if self._new:
            self._parts.append(self._write(self._new))
            self._new = {}
        self._flushed = time.monotonic()

    def close(self) -> None:
        """Write what is new, and merge the parts into one."""
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
