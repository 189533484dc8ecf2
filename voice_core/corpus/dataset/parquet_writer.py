"""Write the Parquet files of one partition row group by row group, and put them together at the end."""

import contextlib
import hashlib
import io
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from voice_core.storage.scratch import Scratch, ScratchLimitError, format_gigabytes
from voice_core.storage.store import Store

ROW_GROUP = 64  # rows: about 8 MB of FLAC, so that one group can be read without the whole file


class _HashingFile(io.FileIO):
    """A file that hashes its content while it is written; `on_write` gets the bytes of each write before it."""

    def __init__(self, path: Path, on_write: Callable[[int], None]) -> None:
        super().__init__(path, "wb")
        self._digest = hashlib.sha256()
        self._count_bytes = on_write

    def write(self, data: Any) -> int:
        self._count_bytes(memoryview(data).nbytes)
        self._digest.update(data)
        return super().write(data) or 0

    @property
    def sha256(self) -> str:
        return self._digest.hexdigest()


@dataclass(slots=True)
class _OpenFile:
    key: str
    file: _HashingFile
    parquet: pq.ParquetWriter
    rows: int = 0


class PartitionParquetWriter:
    """One file per config and split, opened at its first rows; all are put when the context exits without an error.

    `key_of(config, split)` gives the key. Afterwards `records` lists each file with key, sha256, size_bytes, rows,
    config and split. For a remote store the files are written in `scratch`, about `expected_bytes` in total.

    Raises:
        ScratchLimitError: the files exceed the limit of the scratch folder.
    """

    def __init__(
        self, store: Store, key_of: Callable[[str, str], str], scratch: Scratch | None = None, expected_bytes: int = 0
    ) -> None:
        self._store = store
        self._key_of = key_of
        self._scratch = scratch
        self._expected_bytes = expected_bytes
        self._folder: Path | None = None
        self._bytes_written = 0
        self._open: dict[tuple[str, str], _OpenFile] = {}
        self._uploads = ExitStack()
        self.records: list[dict[str, Any]] = []

    def __enter__(self) -> "PartitionParquetWriter":
        if self._scratch is not None:
            size = min(self._expected_bytes, self._scratch.budget_bytes)
            self._folder = self._uploads.enter_context(self._scratch.reserve(size, "the rows"))
        return self

    def _count_bytes(self, count: int) -> None:
        self._bytes_written += count
        if self._scratch is not None and not self._scratch.fits(self._bytes_written):
            raise ScratchLimitError(
                f"the rows of a batch, such as {next(iter(self._open.values())).key}, are written on local disk first "
                f"and need {format_gigabytes(self._bytes_written)} or more; {self._scratch.limit}"
            )

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._uploads:
            if error is not None:
                self._abort()
                raise error
            self._close_all()

    def _close_all(self) -> None:
        for (config, split), item in sorted(self._open.items()):
            item.parquet.close()
            size_bytes = item.file.tell()
            item.file.close()
            self.records.append(
                {"key": item.key, "sha256": item.file.sha256, "size_bytes": size_bytes, "rows": item.rows,
                 "config": config, "split": split}
            )  # fmt: skip

    def _abort(self) -> None:
        self._scratch = None  # closing writes data that is not counted
        for item in self._open.values():
            with contextlib.suppress(OSError, pa.ArrowException):
                item.parquet.close()
            item.file.close()

    def write(self, config: str, split: str, table: pa.Table) -> None:
        """Append rows: one row group, if the table has at most `ROW_GROUP` rows."""
        place = (config, split)
        if place not in self._open:
            key = self._key_of(config, split)
            path = self._uploads.enter_context(self._store.create(key, self._folder))
            file = _HashingFile(path, self._count_bytes)
            names = [name for name in table.schema.names if pa.types.is_string(table.schema.field(name).type)]
            # FLAC does not compress further.
            compression = {**dict.fromkeys(_column_paths(table.schema), "zstd"), "audio.bytes": "none"}
            parquet = pq.ParquetWriter(file, table.schema, compression=compression, use_dictionary=names)
            self._open[place] = _OpenFile(key, file, parquet)
        self._open[place].parquet.write_table(table, row_group_size=ROW_GROUP)
        self._open[place].rows += table.num_rows


def _column_paths(schema: pa.Schema) -> list[str]:
    """The paths of the columns in Parquet."""
    names = []
    for field in schema:
        if pa.types.is_struct(field.type):
            names += [f"{field.name}.{child.name}" for child in field.type]
        else:
            names.append(f"{field.name}.list.element" if pa.types.is_list(field.type) else field.name)
    return names
