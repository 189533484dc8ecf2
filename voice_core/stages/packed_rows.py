"""Rows in little memory: those of a long manifest are kept compressed, and made again when they are read."""

import dataclasses
import marshal
import zlib
from collections.abc import Iterable, Iterator, MutableMapping, Sequence
from typing import Any, Generic, TypeVar, overload

KEPT_ROWS = 8_192
"""Up to so many rows are kept as they are."""
_LEVEL = 1

Row = TypeVar("Row")


class PackedRows(MutableMapping[int, Row], Generic[Row]):
    """Rows by number, each compressed. A row is a dataclass of strings, numbers and truth values.

    The first row is the dictionary of the compression, so that a row takes less than half of what it would alone.
    """

    def __init__(self, rows: Iterable[tuple[int, Row]] = ()) -> None:
        self._row_type: type[Row] | None = None
        self._names: tuple[str, ...] = ()
        self._like = b""
        self._packed: dict[int, bytes] = {}
        for number, row in rows:
            self[number] = row

    def __setitem__(self, number: int, row: Row) -> None:
        if self._row_type is None:
            self._row_type = type(row)
            self._names = tuple(field.name for field in dataclasses.fields(row))  # type: ignore[arg-type]
            self._like = self._dump(row)
        packer = zlib.compressobj(_LEVEL, zdict=self._like)
        self._packed[number] = packer.compress(self._dump(row)) + packer.flush()

    def __getitem__(self, number: int) -> Row:
        packed = self._packed[number]
        assert self._row_type is not None
        return self._row_type(*marshal.loads(zlib.decompressobj(zdict=self._like).decompress(packed)))

    def __delitem__(self, number: int) -> None:
        del self._packed[number]

    def __iter__(self) -> Iterator[int]:
        return iter(self._packed)

    def __len__(self) -> int:
        return len(self._packed)

    def _dump(self, row: Row) -> bytes:
        # Without references between equal objects (version 2), so that equal rows have equal bytes.
        return marshal.dumps(tuple(getattr(row, name) for name in self._names), 2)


class RowView(Sequence[Row]):
    """Some rows of a mapping, in a given order. Rows are read when they are asked for."""

    def __init__(self, rows: "MutableMapping[int, Row] | Sequence[Row]", numbers: Sequence[int]) -> None:
        self._rows: Any = rows
        self._numbers = numbers

    def __len__(self) -> int:
        return len(self._numbers)

    @overload
    def __getitem__(self, index: int) -> Row: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Row]: ...
    def __getitem__(self, index: int | slice) -> Row | Sequence[Row]:
        if isinstance(index, slice):
            return RowView(self._rows, self._numbers[index])
        row: Row = self._rows[self._numbers[index]]
        return row

    def __iter__(self) -> Iterator[Row]:
        for number in self._numbers:
            yield self._rows[number]


def keep_rows(rows: Iterable[Row], count: int | None = None) -> Sequence[Row]:
    """Rows as they are, or packed where they are many. `count` is their number where `rows` has no length."""
    if count is None:
        rows = tuple(rows)
        count = len(rows)
    if count <= KEPT_ROWS:
        return tuple(rows)
    return RowView(PackedRows(enumerate(rows)), range(count))
