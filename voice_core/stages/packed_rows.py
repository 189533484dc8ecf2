"""Rows in little memory: those of a long manifest are kept compressed, and made again when they are read."""

import dataclasses
import marshal
import zlib
from array import array
from collections.abc import Callable, Iterable, Iterator, MutableMapping, Sequence
from itertools import chain, islice
from typing import Any, Generic, TypeVar, overload

KEPT_ROWS = 8_192
"""Up to so many rows are kept as they are."""
_BLOCK_ROWS, _BLOCKS_AT_HAND = 256, 4
_NOWHERE, _LATEST = -1, -2

Row = TypeVar("Row")
Item = TypeVar("Item")
Result = TypeVar("Result")


class PackedRows(MutableMapping[int, Row], Generic[Row]):
    """Rows by number, from 0. All but the latest are compressed, some hundred together, and a few blocks that were read
    last are at hand. A row is a dataclass of strings, numbers and truth values.
    """

    def __init__(self, rows: Iterable[tuple[int, Row]] = ()) -> None:
        self._make: Callable[..., Row]
        self._names: tuple[str, ...] = ()
        self._blocks: list[bytes] = []
        self._places = array("q")  # by number: block and place in it, or one of the two below
        self._latest: dict[int, Row] = {}
        self._count = 0
        self._unpacked: dict[int, list[tuple[Any, ...]]] = {}  # by block
        for number, row in rows:
            self[number] = row

    def __setitem__(self, number: int, row: Row) -> None:
        if number >= len(self._places):
            self._places.extend([_NOWHERE] * (number + 1 - len(self._places)))
        self._count += self._places[number] == _NOWHERE
        self._places[number] = _LATEST
        self._latest[number] = row
        if len(self._latest) >= _BLOCK_ROWS:
            self._pack()

    def __getitem__(self, number: int) -> Row:
        place = self._places[number] if 0 <= number < len(self._places) else _NOWHERE
        if place == _NOWHERE:
            raise KeyError(number)
        if place == _LATEST:
            return self._latest[number]
        block, index = divmod(place, _BLOCK_ROWS)
        values = self._unpacked.get(block) or self._unpack(block)
        return self._make(**dict(zip(self._names, values[index], strict=True)))

    def __delitem__(self, number: int) -> None:
        if number not in self:
            raise KeyError(number)
        self._latest.pop(number, None)
        self._places[number] = _NOWHERE
        self._count -= 1

    def __contains__(self, number: object) -> bool:
        return isinstance(number, int) and 0 <= number < len(self._places) and self._places[number] != _NOWHERE

    def __iter__(self) -> Iterator[int]:
        return (number for number, place in enumerate(self._places) if place != _NOWHERE)

    def __len__(self) -> int:
        return self._count

    def _pack(self) -> None:
        if not self._blocks:
            row_type: Any = type(next(iter(self._latest.values())))
            self._make, self._names = row_type, tuple(field.name for field in dataclasses.fields(row_type))
        columns = [tuple(getattr(row, name) for row in self._latest.values()) for name in self._names]
        for index, number in enumerate(self._latest):
            self._places[number] = len(self._blocks) * _BLOCK_ROWS + index
        self._blocks.append(zlib.compress(marshal.dumps(columns)))
        self._latest.clear()

    def _unpack(self, block: int) -> list[tuple[Any, ...]]:
        for first in islice([*self._unpacked], max(0, len(self._unpacked) + 1 - _BLOCKS_AT_HAND)):
            self._unpacked.pop(first, None)  # another thread may have removed it
        values = [*zip(*marshal.loads(zlib.decompress(self._blocks[block])), strict=True)]
        self._unpacked[block] = values
        return values


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
