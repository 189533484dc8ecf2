"""Errors of the server and the network: transient ones are retried, others are described."""

import hashlib
import random
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from voice_assets_tests.servers.faulty_proxy import FaultyProxy
from voice_assets_tests.servers.gcs import GcsServer
from voice_assets_tests.servers.process import free_port
from voice_assets_tests.servers.s3 import S3Server
from voice_core.storage.store import AccessDeniedError, ConflictError, ObjectNotFoundError, Store, StoreError

DATA = random.Random(1).randbytes(300_000)

FAULTS: dict[str, Callable[[FaultyProxy], None]] = {
    "500": lambda proxy: proxy.answer(500, "InternalError", times=2),
    "503": lambda proxy: proxy.answer(503, "ServiceUnavailable", times=2),
    "slow-down": lambda proxy: proxy.answer(503, "SlowDown", times=2),
    "429": lambda proxy: proxy.answer(429, "TooManyRequests", times=2),
    "reset": lambda proxy: proxy.reset(times=2),
    "lost-answer": lambda proxy: proxy.drop_response(),
}
WRITING_FAULTS = {**FAULTS, "request-timeout": lambda proxy: proxy.answer(400, "RequestTimeout", method="PUT")}
CUTS = {
    f"cut-{size}": lambda proxy, size=size: proxy.truncate_response(size, times=2)
    for size in (0, 1, 100_000, len(DATA) - 1)
}


@pytest.fixture
def store(s3_server: S3Server, s3_proxy: FaultyProxy) -> Store:
    """An S3 store behind a proxy that injects faults."""
    return Store(s3_server.new_bucket(), s3_server.access(s3_proxy.url, max_retries=3))


@pytest.fixture
def gcs_store(gcs_server: GcsServer, gcs_proxy: FaultyProxy) -> Store:
    """A Google Cloud store behind a proxy that injects faults. It contains DATA as `k`."""
    bucket = gcs_server.new_bucket()
    gcs_server.upload(bucket, {"k": DATA})
    return Store(bucket, gcs_server.access(gcs_proxy.url, max_retries=3))


def read_in_every_way(store: Store, folder: Path) -> Iterator[bytes]:
    yield store.get("k")
    store.download("k", folder / "copy")
    yield (folder / "copy").read_bytes()
    with store.open("k") as reader:
        yield reader.read()


@pytest.mark.parametrize("fault", [*FAULTS, *CUTS])
@pytest.mark.parametrize("way", ["get", "download", "open", "hash"])
def test_reads_are_retried_after_transient_errors(
    store: Store, s3_proxy: FaultyProxy, fault: str, way: str, tmp_path: Path
) -> None:
    store.put("k", DATA)
    {**FAULTS, **CUTS}[fault](s3_proxy)
    if way == "get":
        assert store.get("k") == DATA
    elif way == "download":
        assert store.download("k", tmp_path / "copy") == hashlib.sha256(DATA).hexdigest()
        assert (tmp_path / "copy").read_bytes() == DATA
    elif way == "open":
        with store.open("k") as reader:
            assert reader.read() == DATA
    else:
        assert store.hash("k") == hashlib.sha256(DATA).hexdigest()


@pytest.mark.parametrize("fault", WRITING_FAULTS)
def test_puts_heads_listings_and_deletes_are_retried_after_transient_errors(
    store: Store, s3_proxy: FaultyProxy, fault: str
) -> None:
    WRITING_FAULTS[fault](s3_proxy)
    store.put("k", DATA)
    WRITING_FAULTS[fault](s3_proxy)
    info = store.head("k")
    assert info is not None
    WRITING_FAULTS[fault](s3_proxy)
    assert [item.identity for item in store.listing()] == [info.identity]
    assert store.get("k") == DATA
    WRITING_FAULTS[fault](s3_proxy)
    store.delete(["k"])
    assert store.head("k") is None


@pytest.mark.parametrize("fault", [*FAULTS, *CUTS])
def test_requests_to_google_storage_are_retried_after_transient_errors(
    gcs_store: Store, gcs_proxy: FaultyProxy, fault: str, tmp_path: Path
) -> None:
    {**FAULTS, **CUTS}[fault](gcs_proxy)
    for data in read_in_every_way(gcs_store, tmp_path):
        assert data == DATA
        {**FAULTS, **CUTS}[fault](gcs_proxy)
    gcs_proxy.clear_faults()
    FAULTS.get(fault, FAULTS["500"])(gcs_proxy)
    assert [item.key for item in gcs_store.listing()] == ["k"]


def test_many_objects_are_written_and_read_while_some_requests_fail(store: Store, s3_proxy: FaultyProxy) -> None:
    objects = {f"{number:03}": random.Random(number).randbytes(2000) for number in range(120)}
    s3_proxy.answer(503, "SlowDown", times=20, path=r"/0[0-9]5")
    s3_proxy.reset(times=20, path=r"/\d\d7")
    s3_proxy.truncate_response(500, times=20, path=r"/\d\d3")
    store.put_many(objects)
    assert dict(zip(objects, store.map_keys(store.get, objects), strict=True)) == objects


def test_a_put_if_absent_whose_response_was_lost_does_not_conflict_with_itself(
    store: Store, s3_proxy: FaultyProxy
) -> None:
    s3_proxy.drop_response(method="PUT")
    store.put("k", b"mine", if_absent=True)
    assert store.get("k") == b"mine"
    with pytest.raises(ConflictError):
        store.put("k", b"theirs", if_absent=True)


def test_a_put_if_unchanged_whose_response_was_lost_does_not_conflict_with_itself(
    store: Store, s3_proxy: FaultyProxy
) -> None:
    seen = store.put("k", b"one")
    s3_proxy.drop_response(method="PUT")
    store.put("k", b"two", if_unchanged=seen)
    assert store.get("k") == b"two"


def test_a_thousand_objects_are_deleted_by_one_request(store: Store, s3_proxy: FaultyProxy) -> None:
    keys = [f"a b/{number:04}" for number in range(1500)]
    store.put_many(dict.fromkeys(keys[:1200], b"x"))  # the others are not there
    store.put("other", b"x")
    s3_proxy.clear_faults()
    store.delete([*keys, keys[0]])
    assert s3_proxy.count() == s3_proxy.count("POST", r"\?delete") == 2
    assert [item.key for item in store.listing()] == ["other"]


def test_an_object_that_cannot_be_deleted_is_named_and_the_others_are_deleted(
    store: Store, s3_proxy: FaultyProxy
) -> None:
    keys = [f"k{number}" for number in range(5)]
    store.put_many(dict.fromkeys(keys, b"x"))
    with pytest.raises(StoreError, match="a//b"):
        store.delete([*keys, "a//b"])
    assert list(store.listing()) == []
    s3_proxy.answer(403, "AccessDenied", times=0, method="POST")
    with pytest.raises(AccessDeniedError, match="/k0: access denied"):
        store.delete(keys)


def test_google_storage_deletes_many_objects_of_which_some_do_not_exist(
    gcs_server: GcsServer, gcs_proxy: FaultyProxy
) -> None:
    store = Store(gcs_server.new_bucket(), gcs_server.access(gcs_proxy.url))
    store.put_many(dict.fromkeys(["a", "b", "c"], b"x"))
    store.delete(["none", "a", "b", "neither"])
    assert [item.key for item in store.listing()] == ["c"]


def test_one_denied_object_is_an_error_with_its_key_and_the_others_are_read(
    store: Store, s3_proxy: FaultyProxy
) -> None:
    store.put_many({key: key.encode() for key in "abc"})
    s3_proxy.answer(403, "AccessDenied", times=0, path="/b$")
    assert (store.get("a"), store.get("c")) == (b"a", b"c")
    for way in (store.get, store.hash, store.head, store.find):
        with pytest.raises(AccessDeniedError, match=r"/b: access denied: .*; check the credentials"):
            way("b")


def test_a_missing_bucket_is_named(s3_server: S3Server, gcs_server: GcsServer, gcs_proxy: FaultyProxy) -> None:
    s3 = Store("s3://never-made", s3_server.access())
    gcs = Store("gs://never-made", gcs_server.access(gcs_proxy.url))
    gcs_proxy.answer(404, "NoSuchBucket", times=0)  # Google's own answer; this server's is another
    for act in (lambda: s3.put("k", b""), lambda: list(s3.listing()), lambda: list(gcs.listing())):
        with pytest.raises(StoreError, match=r"never-made/.*no such bucket") as caught:
            act()
        assert not isinstance(caught.value, ObjectNotFoundError)


def test_a_wrong_clock_is_named(store: Store, s3_proxy: FaultyProxy) -> None:
    s3_proxy.answer(403, "RequestTimeTooSkewed", times=0)
    with pytest.raises(AccessDeniedError, match="clock"):
        store.get("k")


def test_a_forbidden_request_is_not_retried(store: Store, s3_proxy: FaultyProxy) -> None:
    s3_proxy.answer(403, "AccessDenied", times=0)
    with pytest.raises(AccessDeniedError):
        store.get("k")
    assert s3_proxy.count() == 1


@pytest.mark.parametrize(("status", "code"), [(500, "InternalError"), (503, "SlowDown"), (429, "TooManyRequests")])
def test_a_permanent_error_names_the_key_after_a_bounded_number_of_tries(
    store: Store, s3_proxy: FaultyProxy, status: int, code: str
) -> None:
    impatient = Store(store.url, replace(store.access, max_retries=1))
    s3_proxy.answer(status, code, times=0)
    with pytest.raises(StoreError, match=f"/k: .*{status}"):
        impatient.get("k")
    assert 2 <= s3_proxy.count() <= 8


def test_truncated_bodies_are_an_error_and_never_fewer_bytes(
    store: Store, s3_proxy: FaultyProxy, tmp_path: Path
) -> None:
    store.put("k", DATA)
    store = Store(store.url, replace(store.access, max_retries=0))
    s3_proxy.truncate_response(1000, times=0)
    ways = (store.get, store.find, store.hash, lambda key: store.download(key, tmp_path / "copy"))
    with ThreadPoolExecutor() as pool:
        errors = [done.exception() for done in [pool.submit(way, "k") for way in ways]]
    for error in errors:
        assert isinstance(error, StoreError)
        assert "/k: " in str(error)


def test_a_server_that_cannot_be_reached_is_named_with_its_setting(s3_server: S3Server) -> None:
    for endpoint, reason in [
        (f"http://127.0.0.1:{free_port()}", "no server listens at this address"),
        ("http://no-such-host.invalid:9021", "the host name cannot be resolved"),
    ]:
        store = Store("s3://bucket", s3_server.access(endpoint, max_retries=1))
        with pytest.raises(StoreError, match=reason) as caught:
            store.get("k")
        assert not isinstance(caught.value, ObjectNotFoundError)
        assert "VOICE_S3__ENDPOINT_URL" in str(caught.value)


def test_a_certificate_of_an_unknown_authority_is_an_error_that_names_the_setting(s3_tls_server: S3Server) -> None:
    bucket = s3_tls_server.new_bucket()
    store = Store(bucket, replace(s3_tls_server.access(max_retries=1), ca_bundle=""))
    with pytest.raises(StoreError, match="VOICE_S3__CA_BUNDLE"):
        store.put("k", b"")
    with pytest.raises(StoreError, match="VOICE_S3__CA_BUNDLE"):
        list(store.listing())


def test_a_ca_bundle_that_is_missing_or_has_no_certificate_is_named(s3_tls_server: S3Server, tmp_path: Path) -> None:
    (tmp_path / "empty.pem").write_text("nothing here")
    for name in ("missing.pem", "empty.pem"):
        with pytest.raises(StoreError, match=name):
            Store("s3://bucket", replace(s3_tls_server.access(), ca_bundle=str(tmp_path / name)))


def test_a_server_that_accepts_connections_and_sends_nothing_times_out(s3_server: S3Server) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        store = Store(
            "s3://bucket",
            s3_server.access(f"http://127.0.0.1:{silent.getsockname()[1]}", max_retries=0, read_timeout_sec=0.3),
        )
        with pytest.raises(StoreError, match=r"timed out|timeout|did not answer"):
            store.get("k")


@pytest.mark.parametrize("in_flight", [1, 4, 16])
def test_the_requests_in_flight_are_limited_by_the_setting(
    s3_server: S3Server, s3_proxy: FaultyProxy, in_flight: int
) -> None:
    store = Store(s3_server.new_bucket(), s3_server.access(s3_proxy.url, in_flight=in_flight))
    s3_proxy.delay(0.02, times=0)
    objects = {str(number): b"x" * number for number in range(50)}
    store.put_many(objects)
    store.map_keys(store.get, objects)
    store.delete(objects)
    assert 1 <= s3_proxy.max_in_flight <= in_flight
    if in_flight > 1:
        assert s3_proxy.max_in_flight > 1


def test_two_threads_that_use_one_store_share_its_limit(s3_server: S3Server, s3_proxy: FaultyProxy) -> None:
    store = Store(s3_server.new_bucket(), s3_server.access(s3_proxy.url, in_flight=4))
    s3_proxy.delay(0.02, times=0)
    objects = [{f"{half}/{number}": b"x" for number in range(30)} for half in "ab"]
    threads = [threading.Thread(target=store.put_many, args=(half,)) for half in objects]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert s3_proxy.count("PUT") == 60
    assert s3_proxy.max_in_flight <= 4


def test_a_stale_listing_shows_old_objects_and_reads_show_the_current_ones(store: Store, s3_proxy: FaultyProxy) -> None:
    store.put("old", b"1")
    assert [item.key for item in store.listing()] == ["old"]
    s3_proxy.stale_listings()
    store.put("new", b"2")
    store.delete(["old"])
    assert [item.key for item in store.listing()] == ["old"]
    assert store.find("old") is None
    assert store.get("new") == b"2"
    s3_proxy.clear_faults()
    assert [item.key for item in store.listing()] == ["new"]
