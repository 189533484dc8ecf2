"""Rows of long manifests are packed in memory, and their files are written in parts: with the same result."""

from dataclasses import KW_ONLY, dataclass

import pytest

from voice_core.stages import manifest as manifest_module
from voice_core.stages import packed_rows
from voice_core.stages.manifest import ManifestFormat
from voice_core.stages.packed_rows import MappedSequence, PackedRows, keep_rows, row_store


@dataclass(frozen=True, slots=True)
class Item:
    name: str
    count: int
    _: KW_ONLY
    share: float
    ready: bool


ITEMS = [Item(f"ملف {number} 🎧", number - 5, share=number / 7, ready=number % 3 == 0) for number in range(40)]
FORMAT = ManifestFormat(Item, "items", 1, ["set_aside"])


@pytest.mark.parametrize("block", [1, 7, 40, 100])
def test_packed_rows_are_the_rows(monkeypatch: pytest.MonkeyPatch, block: int) -> None:
    monkeypatch.setattr(packed_rows, "_BLOCK_ROWS", block)
    packed = PackedRows((number, ITEMS[number]) for number in reversed(range(40)))
    assert [packed[number] for number in range(40)] == ITEMS
    packed[3] = ITEMS[30]
    del packed[39]
    assert (packed[3], len(packed), list(packed), 3 in packed, 39 in packed) == (
        ITEMS[30],
        39,
        [*range(39)],
        True,
        False,
    )
    packed[45] = ITEMS[0]
    assert (packed[45], len(packed), 44 in packed) == (ITEMS[0], 40, False)
    for number in (-1, 39, 44, 46):
        with pytest.raises(KeyError):
            packed[number]


def test_packed_rows_take_a_fraction(monkeypatch: pytest.MonkeyPatch) -> None:
    name = "the same words in every row, as in the names of files and of chapters"
    packed = PackedRows((number, Item(name, number, share=0.5, ready=True)) for number in range(1024))
    assert sum(map(len, packed._blocks)) < 1024 * len(name) / 5


def test_many_rows_are_packed_and_few_are_not(monkeypatch: pytest.MonkeyPatch) -> None:
    assert keep_rows(ITEMS) == tuple(ITEMS)
    assert isinstance(row_store(40), dict)
    monkeypatch.setattr(packed_rows, "KEPT_ROWS", 39)
    kept = keep_rows(iter(ITEMS))
    assert isinstance(kept, MappedSequence)
    assert isinstance(row_store(40), PackedRows)
    assert list(kept) == ITEMS
    assert (list(kept[5:9]), kept[-1], len(kept)) == (ITEMS[5:9], ITEMS[-1], 40)
    with pytest.raises(IndexError):
        kept[40]


@pytest.mark.parametrize("count", [0, 1, 7, 8, 9, 40])
def test_a_long_manifest_reads_as_it_was_written(monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    marks = [number % 2 == 0 for number in range(count)]
    whole = FORMAT.to_bytes({"partition": "a"}, ITEMS[:count], set_aside=marks)
    monkeypatch.setattr(manifest_module, "_ROWS_AT_ONCE", 8)
    monkeypatch.setattr(packed_rows, "KEPT_ROWS", 8)
    data = FORMAT.to_bytes({"partition": "a"}, ITEMS[:count], set_aside=marks)
    assert (data == whole) == (count <= 8)  # one part is written as ever
    for stored in (data, whole):
        metadata, rows = FORMAT.from_bytes(stored)
        assert (metadata, list(rows), rows.marked("set_aside"), len(rows)) == (
            {"partition": "a"},
            ITEMS[:count],
            marks,
            count,
        )
        assert FORMAT.to_bytes(metadata, rows, set_aside=marks) == data
