"""The check of a store against real servers: a good store, and each kind of error."""

import socket
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from voice_assets_tests.servers.certificates import make_certificate
from voice_assets_tests.servers.faulty_proxy import FaultyProxy
from voice_assets_tests.servers.gcs import GcsServer, gcs_command
from voice_assets_tests.servers.process import free_port, run_server
from voice_assets_tests.servers.s3 import S3Server
from voice_core.storage import check as store_check
from voice_core.storage import connectivity
from voice_core.storage.check import CheckStep, StoreCheck, check_store
from voice_core.storage.config import StoreConfig
from voice_core.storage.errors import diagnose, root_cause_message
from voice_core.storage.store import Store, StoreError


@pytest.fixture(autouse=True)
def _small_measurements(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_check, "_SMALL_OBJECTS", 20)
    monkeypatch.setattr(store_check, "_LARGE_BYTES", 1 << 20)


def look(url: str, access: StoreConfig, *, write: bool = True) -> StoreCheck:
    return check_store(url, lambda opened: Store(opened, access, create=write), write=write)


def states(result: StoreCheck) -> dict[str, str]:
    return {step.name: step.state for step in result.steps}


def step(result: StoreCheck, name: str) -> CheckStep:
    return next(item for item in result.steps if item.name == name)


def first_failure(result: StoreCheck) -> str:
    """What is wrong and what to do, in one line."""
    failed = next(item for item in result.steps if item.state == "failed")
    return f"{failed.name}: {failed.found}; {failed.cure}"


ALL_STEPS = [
    "reach", "clock", "list", "read", "write", "read back", "put if absent", "put if unchanged", "delete", "speed"
]  # fmt: skip


@pytest.mark.parametrize("kind", ["s3_server", "s3_tls_server"])
def test_a_good_store_passes_every_step_and_is_left_unchanged(kind: str, request: pytest.FixtureRequest) -> None:
    server: S3Server = request.getfixturevalue(kind)
    store = Store(server.new_bucket() + "/work", server.access())
    store.put("mine", b"x" * 5000)
    result = look(store.url, server.access())
    assert result.ok, result
    assert states(result) == dict.fromkeys(ALL_STEPS, "ok")
    assert "puts/s" in step(result, "speed").found
    assert [item.key for item in store.listing()] == ["mine"]


def test_a_good_bucket_of_google_passes_every_step(gcs_server: GcsServer, gcs_proxy: FaultyProxy) -> None:
    bucket = gcs_server.new_bucket()
    gcs_server.upload(bucket, {"mine": b"x" * 5000})
    result = look(bucket, gcs_server.access(gcs_proxy.url))
    assert states(result) == dict.fromkeys(ALL_STEPS, "ok"), result
    assert list(gcs_server.objects(bucket)) == ["mine"]


def test_a_good_folder_passes_every_step_and_is_left_unchanged(tmp_path: Path) -> None:
    (tmp_path / "work").mkdir()
    (tmp_path / "work" / "mine").write_bytes(b"1")
    result = look((tmp_path / "work").as_uri(), StoreConfig())
    assert result.ok, result
    assert states(result) == dict.fromkeys(ALL_STEPS[2:], "ok")
    assert [path.name for path in (tmp_path / "work").rglob("*")] == ["mine"]


def test_a_missing_work_folder_passes_and_is_not_left_behind(tmp_path: Path) -> None:
    assert look((tmp_path / "new" / "work").as_uri(), StoreConfig()).ok
    assert list(tmp_path.iterdir()) == []


def test_a_check_without_write_does_not_write(
    gcs_server: GcsServer, gcs_proxy: FaultyProxy, s3_server: S3Server, s3_proxy: FaultyProxy
) -> None:
    bucket = gcs_server.new_bucket()
    gcs_server.upload(bucket, {"a.wav": b"x" * 10_000, "b.wav": b"y"})
    s3 = Store(s3_server.new_bucket(), s3_server.access())
    s3.put("k", b"1")
    for url, access, proxy in [
        (bucket, gcs_server.access(gcs_proxy.url), gcs_proxy),
        (s3.url, s3_server.access(s3_proxy.url), s3_proxy),
    ]:
        result = look(url, access, write=False)
        assert result.ok, result
        skipped = [name for name, state in states(result).items() if state == "skipped"]
        assert skipped == ["write", "read back", "put if absent", "put if unchanged", "delete"]
        assert "--write" in step(result, "write").found
        assert states(result)["speed"] == "ok"
        assert proxy.count("PUT|POST|DELETE") == 0


def test_a_server_that_ignores_conditions_of_puts_fails_the_check(s3_server: S3Server, s3_proxy: FaultyProxy) -> None:
    s3_proxy.ignores_conditions = True
    result = look(s3_server.new_bucket(), s3_server.access(s3_proxy.url))
    failed = {item.name: f"{item.found}; {item.cure}" for item in result.steps if item.state == "failed"}
    assert list(failed) == ["put if absent", "put if unchanged"]
    assert "overwrites silently" in failed["put if absent"]
    assert "two builds" in failed["put if absent"]


@pytest.mark.parametrize(
    ("method", "path", "step_name"),
    [("GET", "list-type", "list"), ("PUT", "", "write"), ("DELETE|POST", "", "delete")],
)
def test_a_denied_operation_is_named_and_the_others_are_still_tried(
    s3_server: S3Server, s3_proxy: FaultyProxy, method: str, path: str, step_name: str
) -> None:
    store = Store(s3_server.new_bucket(), s3_server.access())
    store.put("k", b"1")
    s3_proxy.answer(403, "AccessDenied", times=0, method=method, path=path)
    result = look(store.url, s3_server.access(s3_proxy.url))
    assert states(result)[step_name] == "failed"
    assert "access denied" in step(result, step_name).found
    assert "permission" in step(result, step_name).cure
    if step_name == "list":
        assert states(result)["write"] == "ok"
    if step_name == "write":
        assert states(result)["read"] == "ok"
        assert states(result)["delete"] == "skipped"


def test_written_objects_are_removed_when_a_later_step_fails(s3_server: S3Server, s3_proxy: FaultyProxy) -> None:
    store = Store(s3_server.new_bucket(), s3_server.access())
    s3_proxy.answer(403, "AccessDenied", times=0, method="GET", path="voice-check.*/00")
    result = look(store.url, s3_server.access(s3_proxy.url))
    assert states(result)["speed"] == "failed"
    assert list(store.listing()) == []


BAD_ANSWERS = [
    (403, "InvalidAccessKeyId", "does not know this access key; check VOICE_S3__ACCESS_KEY_ID"),
    (403, "SignatureDoesNotMatch", "secret key does not belong to the access key; check VOICE_S3__SECRET_ACCESS_KEY"),
    (400, "ExpiredToken", "credentials have expired; sign in again"),
    (403, "RequestTimeTooSkewed", "clock differs too much from the server's; set the clock"),
    (400, "AuthorizationHeaderMalformed", "another region; set VOICE_S3__REGION to the bucket's region (eu-west-3)"),
    (301, "PermanentRedirect", "another region; set VOICE_S3__REGION to the bucket's region (eu-west-3)"),
    (503, "SlowDown", "asks for fewer requests; try again later, or lower VOICE_REQUESTS_IN_FLIGHT"),
    (500, "InternalError", "the server reported an internal error"),
    (507, "XMinioStorageFull", "storage is full"),
]


@pytest.mark.parametrize(("status", "code", "expected"), BAD_ANSWERS)
def test_an_error_of_the_server_is_described_with_its_cure(
    s3_server: S3Server, s3_proxy: FaultyProxy, status: int, code: str, expected: str
) -> None:
    s3_proxy.answer(status, code, times=0, headers={"x-amz-bucket-region": "eu-west-3"})
    assert expected in first_failure(look(s3_server.new_bucket(), s3_server.access(s3_proxy.url)))


def test_a_missing_bucket_is_described(s3_server: S3Server, gcs_server: GcsServer) -> None:
    for url, access in [("s3://never-made", s3_server.access()), ("gs://never-made", gcs_server.access())]:
        result = look(url, access, write=False)
        assert "list: there is no such bucket; check the URL" in first_failure(result)
        assert states(result)["read"] == "skipped"


def test_a_wrong_clock_is_described_with_the_seconds(s3_server: S3Server, s3_proxy: FaultyProxy) -> None:
    bucket = s3_server.new_bucket()
    s3_proxy.clock_offset = timedelta(hours=1)
    late = look(bucket, s3_server.access(s3_proxy.url))
    assert states(late)["clock"] == "failed"
    assert "3,600 s behind" in step(late, "clock").found or "3,599 s behind" in step(late, "clock").found
    assert "timedatectl" in step(late, "clock").cure
    s3_proxy.clock_offset = timedelta(minutes=-5)
    early = look(bucket, s3_server.access(s3_proxy.url))
    assert early.ok
    assert "ahead of the server's" in step(early, "clock").found


def test_a_wrong_endpoint_is_described(s3_server: S3Server, s3_tls_server: S3Server, tmp_path: Path) -> None:
    plain, tls = s3_server.access(), s3_tls_server.access()
    other_authority = str(make_certificate(tmp_path).authority)
    nothing = tmp_path / "nothing.pem"
    nothing.write_text("nothing here")
    by_other_name = s3_tls_server.url.replace("127.0.0.1", "[::ffff:127.0.0.1]")
    cases: list[tuple[StoreConfig, str]] = [
        (replace(plain, endpoint_url=f"http://127.0.0.1:{free_port()}"), "no server listens at this address"),
        (replace(plain, endpoint_url="http://no-such-host.invalid:9021"), "the host name cannot be resolved"),
        (replace(plain, endpoint_url="nas:9021"), "nas:9021 is not an http address; begin it with https://"),
        (replace(tls, ca_bundle=""), "authority that this machine does not know; set VOICE_S3__CA_BUNDLE"),
        (replace(tls, ca_bundle=other_authority), "authority that this machine does not know; set VOICE_S3__CA_BUNDLE"),
        (replace(tls, ca_bundle=str(tmp_path / "missing.pem")), "missing.pem"),
        (replace(tls, ca_bundle=str(nothing)), "nothing.pem, which contains no PEM certificate"),
        (replace(tls, endpoint_url=by_other_name), "the server's certificate is for another host name"),
        (replace(plain, endpoint_url=s3_server.url.replace("http:", "https:")), "plain http, not https"),
        (replace(tls, endpoint_url=s3_tls_server.url.replace("https:", "http:")), "begin VOICE_S3__ENDPOINT_URL with "
         "https://"),
    ]  # fmt: skip
    for access, expected in cases:
        result = look("s3://bucket", access)
        assert expected in first_failure(result), result
        assert all(item.state == "skipped" for item in result.steps[1:])


def test_a_server_that_expects_https_is_recognised_by_its_response(s3_server: S3Server) -> None:
    port = free_port()
    with run_server(gcs_command(port, "https"), port):
        for url in ("s3://bucket", "gs://bucket"):
            result = look(url, s3_server.access(f"http://127.0.0.1:{port}"))
            assert "the server expects https" in first_failure(result)
            assert "ENDPOINT_URL with https://" in first_failure(result)


def test_a_server_that_sends_nothing_times_out(s3_server: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connectivity, "_TIMEOUT_SEC", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        result = look("s3://bucket", s3_server.access(f"http://127.0.0.1:{silent.getsockname()[1]}"))
    assert "did not answer in time; check address and port" in first_failure(result)


def test_missing_and_wrong_credentials_are_described(tmp_path: Path, s3_server: S3Server) -> None:
    key = tmp_path / "key.json"
    key.write_text("{}")
    for access, url, expected in [
        (replace(s3_server.access(), access_key_id="", profile="nobody"), "s3://bucket", "no such profile"),
        (StoreConfig(credentials_file=str(key)), "gs://bucket", "check VOICE_GCS__CREDENTIALS_FILE"),
        (StoreConfig(credentials_file=str(tmp_path / "none")), "gs://bucket", "check VOICE_GCS__CREDENTIALS_FILE"),
    ]:
        assert expected in first_failure(look(url, access)), expected


def test_a_missing_raw_folder_is_described(tmp_path: Path) -> None:
    result = look((tmp_path / "raw").as_uri(), StoreConfig(), write=False)
    assert "there is no such folder" in first_failure(result)
    assert not (tmp_path / "raw").exists()


def test_the_root_cause_of_an_error_is_not_an_error_that_was_handled_before_it() -> None:
    def fail() -> None:
        try:
            raise OSError("ConnectionRefused")
        except OSError:
            raise StoreError("get k: nothing listens") from None

    try:
        raise KeyError("NoSuchBucket")
    except KeyError:
        with pytest.raises(StoreError) as caught:
            fail()
    assert root_cause_message(caught.value) == "OSError: ConnectionRefused"


def test_names_of_buckets_and_keys_are_not_diagnosed() -> None:
    assert diagnose("get s3://AccessDenied/SlowDown/NoSuchBucket: oddity", "s3://AccessDenied") is None
    assert diagnose("lacks for path ExpiredToken: oddity", "s3://b") is None
