"""Assertions that hold for every kind of store."""

import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest

from voice_core.storage.store import ObjectNotFoundError, Store


def assert_read_back(store: Store, key: str, data: bytes, folder: Path) -> None:
    """With every read method."""
    assert store.get(key) == store.find(key) == data
    info = store.head(key)
    assert info is not None
    assert (info.key, info.size) == (key, len(data))
    digest = hashlib.sha256(data).hexdigest()
    assert store.hash(key) == digest
    assert store.download(key, folder / "copy") == digest
    assert (folder / "copy").read_bytes() == data
    with store.open(key) as reader:
        reader.seek(max(0, len(data) - 3))
        assert reader.read() == data[-3:]
        reader.seek(1)
        assert bytes(reader.read(5)) == data[1:6]


def assert_missing(store: Store, key: str, folder: Path) -> None:
    """With every read method. Errors name the key."""
    assert store.find(key) is None
    assert store.head(key) is None
    ways: list[Callable[[], object]] = [
        lambda: store.get(key),
        lambda: store.hash(key),
        lambda: store.download(key, folder / "copy"),
        lambda: store.open(key),
    ]
    for read in ways:
        with pytest.raises(ObjectNotFoundError, match=key):
            read()


def assert_listed_by_folder(store: Store) -> None:
    """`store` must be empty."""
    store.put_many({"a/1": b"", "a/b/2": b"", "ab/3": b"", "c": b""})
    assert sorted(item.key for item in store.listing("a/")) == ["a/1", "a/b/2"]
    assert sorted(item.key for item in store.listing()) == ["a/1", "a/b/2", "ab/3", "c"]
    assert list(store.listing("nowhere/")) == []


def assert_created_atomically(store: Store, data: bytes) -> None:
    """A created object exists when it is complete, and an interrupted one does not. `store` must be empty."""
    with store.create("copy/of/big") as path:
        path.write_bytes(data)
        assert store.find("copy/of/big") is None
    assert store.get("copy/of/big") == data

    def break_off() -> None:
        with store.create("copy/of/big") as path:
            path.write_bytes(b"half")
            raise RuntimeError("something broke on the way")

    with pytest.raises(RuntimeError, match="on the way"):
        break_off()
    assert store.get("copy/of/big") == data
    assert [item.key for item in store.listing()] == ["copy/of/big"]
