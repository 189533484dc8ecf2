"""Rows in little memory: those of a long manifest are kept compressed, and made again when they are read."""

import dataclasses
import marshal
import zlib
from collections.abc import Callable, Iterable, Iterator, MutableMapping, Sequence
from itertools import chain, islice
from typing import Generic, TypeVar, overload

KEPT_ROWS = 8_192
"""Up to so many rows are kept as they are."""
_LEVEL = 1

Row = TypeVar("Row")
Item = TypeVar("Item")
Result = TypeVar("Result")


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


class MappedSequence(Sequence[Result], Generic[Item, Result]):
    """`function` of each item, computed whenever it is asked for."""

    def __init__(self, function: Callable[[Item], Result], items: Sequence[Item]) -> None:
        self._function, self._items = function, items

    def __len__(self) -> int:
        return len(self._items)

    @overload
    def __getitem__(self, index: int) -> Result: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Result]: ...
    def __getitem__(self, index: int | slice) -> Result | Sequence[Result]:
        if isinstance(index, slice):
            return MappedSequence(self._function, self._items[index])
        return self._function(self._items[index])

    def __iter__(self) -> Iterator[Result]:
        return map(self._function, self._items)


def keep_rows(rows: Iterable[Row]) -> Sequence[Row]:
    """Rows as they are, or packed where they are many; `rows` is read once."""
    given = iter(rows)
    first = tuple(islice(given, KEPT_ROWS + 1))
    if len(first) <= KEPT_ROWS:
        return first
    packed = PackedRows(enumerate(chain(first, given)))
    return MappedSequence(packed.__getitem__, range(len(packed)))


def row_store(count: int) -> MutableMapping[int, Row]:
    """An empty mapping for the rows of `count` things, which packs them where they are many."""
    return {} if count <= KEPT_ROWS else PackedRows()
