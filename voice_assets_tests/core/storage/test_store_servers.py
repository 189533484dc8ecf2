"""Stores on real servers over HTTP and HTTPS."""

import hashlib
import hmac
import pickle
import random
import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from urllib.parse import parse_qsl, quote, urlsplit

import pytest

from voice_assets_tests.core.storage.store_assertions import (
    assert_created_atomically,
    assert_listed_by_folder,
    assert_missing,
    assert_read_back,
)
from voice_assets_tests.servers.faulty_proxy import FaultyProxy
from voice_assets_tests.servers.gcs import GcsServer
from voice_assets_tests.servers.s3 import S3Server
from voice_core.corpus.ingest.recordings import list_raw_recordings
from voice_core.settings import Settings
from voice_core.storage.config import StoreConfig
from voice_core.storage.object_info import INVALID_KEY
from voice_core.storage.store import ConflictError, Store, StoreError

KEYS = [
    "a",
    "deep/er/b.json",
    "أثير/نشرة الأخبار.wav",
    "with space/ø +=@().bin",
    " leading and trailing ",
    "news%2Fmonday_seg_7.npz",
    "100% #1?x=y&z",
    "a..b/..c/d..",
    "back\\slash/{curly}[square]<angle>|^`~",
    "quo\"te's;,:!$*",
    "emoji-🎙️/e\u0301-and-\u00e9",
    "أ" * 100 + "/" + "ش" * 50,  # 301 bytes
]
REMOTE = ["s3", "s3-tls", "s3-folder", "gcs"]


@pytest.fixture(params=["file", *REMOTE])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    """An empty store that can be written to."""
    if request.param == "file":
        return Store((tmp_path / "ro ot").as_uri(), create=True)
    if request.param == "gcs":
        proxy: FaultyProxy = request.getfixturevalue("gcs_proxy")  # turns puts into what that server understands
        gcs: GcsServer = request.getfixturevalue("gcs_server")
        return Store(gcs.new_bucket(), gcs.access(proxy.url))
    server: S3Server = request.getfixturevalue("s3_tls_server" if request.param == "s3-tls" else "s3_server")
    folder = "/voice data/صوت" if request.param == "s3-folder" else ""
    return Store(server.new_bucket() + folder, server.access())


@pytest.fixture
def s3_store(s3_server: S3Server) -> Store:
    return Store(s3_server.new_bucket(), s3_server.access())


def noise(size: int) -> bytes:
    return random.Random(size).randbytes(size)


def test_objects_with_any_name_are_read_back_listed_and_deleted(store: Store, tmp_path: Path) -> None:
    objects = {key: f"{number} {key}".encode() * 100 for number, key in enumerate(KEYS)}
    store.put_many(objects)
    for key, data in objects.items():
        assert_read_back(store, key, data, tmp_path)
    assert {item.key: item.size for item in store.listing()} == {key: len(data) for key, data in objects.items()}
    for item in store.listing():
        info = store.head(item.key)
        assert info is not None
        assert info.identity == item.identity
    store.delete(KEYS)
    assert list(store.listing()) == []


def test_google_storage_is_read_by_every_read_method(gcs_server: GcsServer, tmp_path: Path) -> None:
    bucket = gcs_server.new_bucket()
    objects = {key: f"{number} {key}".encode() * 100 for number, key in enumerate(KEYS)}
    objects["large"] = noise(5_000_000)
    gcs_server.upload(bucket, objects)
    store = Store(bucket, gcs_server.access())
    for key, data in objects.items():
        assert_read_back(store, key, data, tmp_path)
    listed = {item.key: item for item in store.listing()}
    assert {key: item.size for key, item in listed.items()} == {key: len(data) for key, data in objects.items()}
    assert store.find("no/such") is None
    assert store.head("no/such") is None


def test_an_object_of_google_storage_that_is_replaced_changes_its_identity(gcs_server: GcsServer) -> None:
    bucket = gcs_server.new_bucket()
    store = Store(bucket, gcs_server.access())
    gcs_server.upload(bucket, {"k": b"one"})
    first = store.head("k")
    gcs_server.upload(bucket, {"k": b"two"})
    second = store.head("k")
    assert first is not None
    assert second is not None
    assert first.identity != second.identity
    assert [item.identity for item in store.listing()] == [second.identity]


@pytest.mark.parametrize("key", ["a/../b", "..", "a//b", "a/./b"])
def test_a_key_that_could_lead_out_of_the_store_is_an_error_that_names_it(s3_store: Store, key: str) -> None:
    s3_store.put("b", b"mine")
    ways: list[Callable[[], object]] = [lambda: s3_store.put(key, b"x"), lambda: s3_store.get(key)]
    for way in ways:
        with pytest.raises(StoreError) as caught:
            way()
        assert key in str(caught.value)
    assert [(item.key, s3_store.get(item.key)) for item in s3_store.listing()] == [("b", b"mine")]


ODD_NAMES = ["a//b.mp3", "../x", "a/./b", "x/../y", "tab\tx", "/abs/x.mp3"]


@pytest.fixture
def base_install(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Returns a function that hides boto3 and google-cloud-storage, which only the extra "cloud" installs."""

    def hide() -> None:
        for name in ("boto3", "botocore", "google.cloud", "google.cloud.storage", "google.auth"):
            monkeypatch.setitem(sys.modules, name, None)

    return hide


@pytest.mark.parametrize("odd", [[name] for name in ODD_NAMES] + [[*ODD_NAMES, "folder/"]], ids=str)
@pytest.mark.parametrize("kind", ["s3", "s3-tls", "gcs"])
def test_invalid_names_are_listed_as_unusable_and_hide_no_others(
    kind: str, odd: list[str], request: pytest.FixtureRequest, base_install: Callable[[], None]
) -> None:
    if kind == "gcs":
        gcs: GcsServer = request.getfixturevalue("gcs_server")
        store = Store(gcs.new_bucket(), gcs.access())
        gcs.upload(store.url, dict.fromkeys(["plain/a", "zz", *odd], b"12345"))
    else:
        s3: S3Server = request.getfixturevalue("s3_tls_server" if kind == "s3-tls" else "s3_server")
        store = Store(s3.new_bucket(), s3.access())
        client, bucket = s3.client(), store.url.removeprefix("s3://")
        for key in ["plain/a", "zz", *odd]:
            client.put_object(Bucket=bucket, Key=key, Body=b"12345")
    base_install()
    listed = {item.key: item for item in store.listing()}
    assert {key: item.size for key, item in listed.items()} == {"plain/a": 5, "zz": 5, **dict.fromkeys(odd, 0)}
    assert {key for key, item in listed.items() if item.unusable} == set(odd)
    info = store.head("zz")
    assert info is not None
    assert listed["zz"].identity == info.identity
    strays = list_raw_recordings(store, Settings()).strays
    assert {stray.key for stray in strays} >= set(odd)


def test_many_pages_with_an_invalid_name_are_listed_below_a_folder(
    s3_server: S3Server, base_install: Callable[[], None]
) -> None:
    url = s3_server.new_bucket()
    store = Store(f"{url}/voice data/صوت", s3_server.access())
    keys = [f"a/{number:04}.json" for number in range(1200)]
    store.put_many(dict.fromkeys([*keys, "ab/1"], b"{}"))
    s3_server.client().put_object(Bucket=url.removeprefix("s3://"), Key="voice data/صوت/a//b", Body=b"")
    base_install()
    assert {(item.key, item.size, item.unusable) for item in store.listing("a")} == {
        ("a//b", 0, INVALID_KEY),
        *((key, 2, "") for key in keys),
    }


def test_a_raw_listing_is_retried_after_transient_errors(s3_server: S3Server, s3_proxy: FaultyProxy) -> None:
    store = Store(s3_server.new_bucket(), s3_server.access(s3_proxy.url))
    s3_server.client().put_object(Bucket=store.url.removeprefix("s3://"), Key="a//b", Body=b"")
    for fault in (
        lambda: s3_proxy.answer(503, "SlowDown", path="encoding-type"),
        lambda: s3_proxy.reset(path="encoding-type"),
        lambda: s3_proxy.truncate_response(100, path="encoding-type"),
    ):
        s3_proxy.clear_faults()
        fault()
        assert [item.key for item in store.listing()] == ["a//b"]
        assert s3_proxy.count("GET", "encoding-type") == 2


def test_the_signature_of_a_listing_covers_the_whole_query() -> None:
    """As https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-query-string-auth.html specifies it."""
    access = StoreConfig(access_key_id="AKID", secret_access_key="secret", session_token="to/ken", region="eu-west-1")
    address = urlsplit(access.sign_listing("s3://bucket", {"list-type": "2", "prefix": "news of today/صوت+#?&"}))
    query = dict(parse_qsl(address.query, keep_blank_values=True, strict_parsing=True))
    assert (address.path, address.fragment, query["prefix"]) == ("/bucket", "", "news of today/صوت+#?&")
    signature = query.pop("X-Amz-Signature")
    asked = "&".join(f"{quote(name, safe='')}={quote(query[name], safe='')}" for name in sorted(query))
    request = f"GET\n/bucket\n{asked}\nhost:{address.netloc}\n\nhost\nUNSIGNED-PAYLOAD"
    scope = query["X-Amz-Credential"].removeprefix("AKID/")
    text = f"AWS4-HMAC-SHA256\n{query['X-Amz-Date']}\n{scope}\n{hashlib.sha256(request.encode()).hexdigest()}"
    key = b"AWS4secret"
    for part in [*scope.split("/"), text]:
        key = hmac.digest(key, part.encode(), "sha256")
    assert signature == key.hex()


def test_a_missing_object_is_none_or_an_error_with_its_key(store: Store, tmp_path: Path) -> None:
    store.delete(["no/such"])
    assert_missing(store, "no/such", tmp_path)


@pytest.mark.parametrize("size", [0, 1, 20_000_000])
def test_empty_and_large_objects_are_read_back(store: Store, size: int, tmp_path: Path) -> None:
    data = noise(size)
    store.put("k", data)
    assert_read_back(store, "k", data, tmp_path)
    with store.create("by/file") as path:
        path.write_bytes(data)
    assert_read_back(store, "by/file", data, tmp_path)


def test_ranges_are_read_from_anywhere_in_an_object(store: Store) -> None:
    data = noise(3_000_000)
    store.put("k", data)
    places = random.Random(7)
    with store.open("k") as reader:
        for _ in range(20):
            start, length = places.randrange(len(data)), places.randrange(1, 400_000)
            reader.seek(start)
            assert reader.read(length) == data[start : start + length]
        assert reader.tell() == min(start + length, len(data))


def test_a_listing_of_many_pages_contains_each_object_once(s3_store: Store) -> None:
    keys = [f"channel {number % 7}/{number:05}.json" for number in range(2001)]  # a page has 1000
    s3_store.put_many(dict.fromkeys(keys, b"{}"))
    assert sorted(item.key for item in s3_store.listing()) == sorted(keys)
    assert sorted(item.key for item in s3_store.listing("channel 3")) == sorted(keys[3::7])


def test_a_listing_of_google_storage_contains_each_object_once(gcs_server: GcsServer) -> None:
    bucket = gcs_server.new_bucket()
    keys = [f"channel {number % 7}/{number:05}.json" for number in range(2001)]  # a page has 1000
    gcs_server.upload(bucket, dict.fromkeys(keys, b"{}"))
    store = Store(bucket, gcs_server.access())
    assert sorted(item.key for item in store.listing()) == sorted(keys)
    assert sorted(item.key for item in store.listing("channel 3")) == sorted(keys[3::7])


def test_a_listing_contains_the_objects_below_a_folder_only(store: Store) -> None:
    assert_listed_by_folder(store)


def test_put_if_absent_creates_an_object_and_keeps_an_existing_one(store: Store) -> None:
    first = store.put("k", b"mine", if_absent=True)
    with pytest.raises(ConflictError, match="k"):
        store.put("k", b"theirs", if_absent=True)
    assert store.get("k") == b"mine"
    assert store.head("k") == first


def test_put_if_unchanged_replaces_the_known_version_only(store: Store) -> None:
    seen = store.put("k", b"one")
    newer = store.put("k", b"two", if_unchanged=seen)
    with pytest.raises(ConflictError, match="k"):
        store.put("k", b"three", if_unchanged=seen)
    assert store.get("k") == b"two"
    store.put("k", b"four", if_unchanged=newer)
    assert store.get("k") == b"four"


def test_one_of_many_simultaneous_puts_if_absent_wins_and_its_content_stays(store: Store) -> None:
    writers = 8
    start = threading.Barrier(writers)
    won: list[bytes] = []

    def write(number: int) -> None:
        data = noise(50_000 + number)
        start.wait()
        try:
            store.put("k", data, if_absent=True)
        except ConflictError:
            return
        won.append(data)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(writers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert won == [store.get("k")]
    assert [item.key for item in store.listing()] == ["k"]


def test_a_large_object_exists_only_when_it_is_complete(store: Store) -> None:
    assert_created_atomically(store, b"whole")


def test_a_store_can_be_pickled(store: Store) -> None:
    store.put("k", b"1")
    twin = pickle.loads(pickle.dumps(store))
    assert (twin.url, twin.get("k")) == (store.url, b"1")


def test_stores_in_folders_of_one_bucket_are_separate(s3_server: S3Server) -> None:
    bucket = s3_server.new_bucket()
    one, two, whole = (Store(bucket + folder, s3_server.access()) for folder in ("/a", "/ab", ""))
    one.put("k", b"1")
    two.put("k", b"2")
    assert [item.key for item in one.listing()] == ["k"]
    assert sorted(item.key for item in whole.listing()) == ["a/k", "ab/k"]
    assert (one.get("k"), two.get("k")) == (b"1", b"2")


def test_secrets_are_in_no_message_and_no_representation(s3_server: S3Server) -> None:
    access = replace(s3_server.access(), secret_access_key="hush-hush", session_token="whisper")
    store = Store("s3://no-such-bucket", access)
    with pytest.raises(StoreError) as caught:
        store.put("k", b"")
    for text in (repr(store), repr(access), str(caught.value)):
        assert "hush" not in text
        assert "whisper" not in text
