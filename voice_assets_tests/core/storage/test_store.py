import os
import pickle
import threading
from pathlib import Path

import pytest

from voice_assets_tests.core.storage.store_assertions import (
    assert_created_atomically,
    assert_listed_by_folder,
    assert_missing,
    assert_read_back,
)
from voice_core.storage.object_info import INVALID_KEY
from voice_core.storage.store import Store, StoreError

KEYS = [
    "a",
    "deep/er/b.json",
    "أثير/نشرة الأخبار.wav",
    "with space/ø +=@().bin",
    "news%2Fmonday_seg_7.npz",
    "a..b",
    "x#y?z",
]


@pytest.fixture(params=["file", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    return Store((tmp_path / "ro ot").as_uri(), create=True) if request.param == "file" else Store("memory:///")


@pytest.mark.parametrize("key", KEYS)
def test_an_object_is_read_back_by_every_read_method(store: Store, key: str, tmp_path: Path) -> None:
    data = key.encode() * 1000
    store.put(key, data)
    assert [item.key for item in store.listing()] == [key]
    assert_read_back(store, key, data, tmp_path)


def test_a_key_is_the_path_of_its_file(tmp_path: Path) -> None:
    store = Store(tmp_path.as_uri(), create=True)
    for key in KEYS:
        store.put(key, b"x")
        assert (tmp_path / key).read_bytes() == b"x"


def test_a_missing_object_is_none_or_an_error_with_its_key(store: Store, tmp_path: Path) -> None:
    assert_missing(store, "no/such", tmp_path)


def test_deleting_a_missing_object_is_not_an_error(store: Store) -> None:
    store.put("here", b"1")
    store.delete(["here", "never/was", "here"])
    assert list(store.listing()) == []


def test_a_listing_contains_the_objects_below_a_folder_only(store: Store) -> None:
    assert_listed_by_folder(store)


def test_files_with_invalid_names_are_listed_as_unusable_and_hide_no_others(tmp_path: Path) -> None:
    root, elsewhere = tmp_path / "root", tmp_path / "elsewhere"
    store = Store(root.as_uri(), create=True)
    Store(elsewhere.as_uri(), create=True).put("b", b"12")
    store.put("plain/a", b"123")
    (root / "link").symlink_to(elsewhere, target_is_directory=True)
    for name in (b"new\nline", b"tab\tx", b"del\x7f", b"\xff.mp3"):
        (root / os.fsdecode(name)).write_bytes(b"x")
    listed = list(store.listing())
    assert {item.key: item.size for item in listed if not item.unusable} == {"plain/a": 3, "link/b": 2}
    unusable = {item.key: item.unusable for item in listed if item.unusable}
    assert unusable == dict.fromkeys(["new\nline", "tab\tx", "del\x7f", "\\udcff.mp3"], INVALID_KEY)
    (root / "plain" / "loop").symlink_to(root, target_is_directory=True)
    assert {item.key for item in store.listing("plain/")} == {"plain/a"}


def test_identity_changes_with_the_content(store: Store) -> None:
    store.put("k", b"one")
    first = store.head("k")
    store.put("k", b"two")
    second = store.head("k")
    assert first is not None
    assert second is not None
    assert first.identity != second.identity
    assert second.identity == next(iter(store.listing())).identity


def test_a_large_object_exists_only_when_it_is_complete(store: Store) -> None:
    assert_created_atomically(store, bytes(range(256)) * 40_000)


def test_a_reader_sees_the_old_object_or_the_new_one_and_never_a_part(tmp_path: Path) -> None:
    store = Store(tmp_path.as_uri(), create=True)
    versions = [bytes([number]) * 2_000_000 for number in range(8)]
    store.put("k", versions[0])
    seen: set[bytes] = set()
    stop = threading.Event()

    def read() -> None:
        while not stop.is_set():
            seen.add(store.get("k"))

    readers = [threading.Thread(target=read) for _ in range(2)]
    for reader in readers:
        reader.start()
    for data in versions * 3:
        store.put("k", data)
    stop.set()
    for reader in readers:
        reader.join()
    assert seen <= set(versions)
    assert [item.key for item in store.listing()] == ["k"]


def test_many_keys_keep_their_order(store: Store) -> None:
    store.put_many({str(number): str(number).encode() for number in range(100)})
    keys = [str(number) for number in reversed(range(100))]
    assert [data.decode() for data in store.map_keys(store.get, keys)] == keys


def test_a_store_can_be_pickled_unless_it_is_in_memory(tmp_path: Path) -> None:
    store = Store(tmp_path.as_uri(), create=True)
    store.put("k", b"1")
    twin = pickle.loads(pickle.dumps(store))
    assert (twin.url, twin.get("k")) == (store.url, b"1")
    with pytest.raises(TypeError, match="memory"):
        pickle.dumps(Store("memory:///"))
    assert isinstance(pickle.loads(pickle.dumps(StoreError("why"))), StoreError)


def test_a_missing_raw_folder_is_named_and_not_created(tmp_path: Path) -> None:
    url = (tmp_path / "no such").as_uri()
    with pytest.raises(StoreError, match="no%20such: there is no such folder"):
        Store(url)
    assert not (tmp_path / "no such").exists()


def test_an_unknown_url_scheme_is_an_error_that_names_the_known_ones() -> None:
    with pytest.raises(StoreError, match=r"gopher://x.*a store is a folder, file://…, s3://bucket"):
        Store("gopher://x/y")
    with pytest.raises(StoreError, match=r"s3://bucket\[/folder\]"):
        Store("s3://")


@pytest.mark.parametrize("key", ["../outside", "a/../../outside", "a//b", "./a"])
def test_a_key_that_leads_out_of_the_store_is_not_written(store: Store, key: str, tmp_path: Path) -> None:
    with pytest.raises(StoreError):
        store.put(key, b"x")
    assert not (tmp_path / "outside").exists()


@pytest.mark.parametrize("key", ["../secret", "a/../../secret", "/etc/hostname"])
def test_a_key_that_leads_out_of_the_store_is_not_read(key: str, tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(b"x")
    store = Store((tmp_path / "root").as_uri(), create=True)
    for read in (store.get, store.open, store.hash):
        with pytest.raises(StoreError):
            read(key)


def test_an_object_that_cannot_be_opened_is_a_store_error_with_its_key(tmp_path: Path) -> None:
    (tmp_path / "folder.wav").mkdir()
    with pytest.raises(StoreError, match=r"folder\.wav"):
        Store(tmp_path.as_uri()).open("folder.wav")
