import gc
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from dagster._core.storage.defs_state import base as defs_state

from voice_assets_tests.dagster_home import read_migrations_once
from voice_assets_tests.servers.faulty_proxy import FaultyProxy, faulty_proxy
from voice_assets_tests.servers.gcs import GcsServer
from voice_assets_tests.servers.gcs import gcs_server as start_gcs_server
from voice_assets_tests.servers.hub import HubServer
from voice_assets_tests.servers.s3 import S3Server
from voice_assets_tests.servers.s3 import s3_server as start_s3_server

_FROM_OUTSIDE = ("VOICE_", "AWS_", "GOOGLE_", "HF_", "DAGSTER_HOME", "STORAGE_EMULATOR_HOST")

# The test hub does not speak Xet.
_NO_XET = "HF_HUB_DISABLE_XET"
os.environ[_NO_XET] = "1"


_RAM_DISK = Path("/dev/shm")
_RAM_DISK_FREE_BYTES = 8 << 30


def pytest_configure(config: pytest.Config) -> None:
    read_migrations_once()
    _use_ram_disk()


def _use_ram_disk() -> None:
    """Keep temporary files in memory where there is room for them, unless TMPDIR is set.

    Builds wait for the disk at each commit, and so do Dagster's SQLite databases: on a disk most tests take twice as
    long. Worker processes and commands inherit the variable.
    """
    if "TMPDIR" in os.environ or not _RAM_DISK.is_dir() or not os.access(_RAM_DISK, os.W_OK):
        return
    if os.statvfs(_RAM_DISK).f_flag & os.ST_NOEXEC:  # as containers have it; some tests write programs and run them
        return
    if shutil.disk_usage(_RAM_DISK).free >= _RAM_DISK_FREE_BYTES:
        os.environ["TMPDIR"] = str(_RAM_DISK)
        tempfile.tempdir = None  # it may have been looked up before


def pytest_collection() -> None:
    gc.disable()  # what is imported and collected stays


def pytest_collection_finish() -> None:
    """Leave modules and test items out of all later garbage collections: one of them all takes a second and more."""
    gc.collect()
    gc.freeze()
    gc.enable()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with slow tests come first: at the end they would keep one process busy, and the others waiting."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup() -> None:
    """Forget the Dagster instance of the test before, whose folder may be gone: Dagster keeps its storage in a context
    variable until the generator of its last run is collected as garbage."""
    defs_state._current_storage.set(None)


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Tests see neither the developer's variables, nor his credentials, nor a voice.toml of the working directory."""
    for name in [*os.environ]:
        if name.startswith(_FROM_OUTSIDE) and name != _NO_XET:
            monkeypatch.delenv(name)
    nowhere = tmp_path_factory.mktemp("cwd")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(nowhere / "no-aws-config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(nowhere / "no-aws-credentials"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1,localhost")
    monkeypatch.chdir(nowhere)


@pytest.fixture(scope="session")
def s3_server() -> Iterator[S3Server]:
    """An S3 server over HTTP. Each test takes buckets of its own: `s3_server.new_bucket()`."""
    with start_s3_server() as server:
        yield server


@pytest.fixture(scope="session")
def s3_tls_server() -> Iterator[S3Server]:
    """An S3 server over HTTPS, whose certificate only `s3_tls_server.ca_bundle` vouches for."""
    with start_s3_server(tls=True) as server:
        yield server


@pytest.fixture(scope="session")
def gcs_server() -> Iterator[GcsServer]:
    """A Google Cloud Storage server over HTTP. Each test takes buckets of its own: `gcs_server.new_bucket()`."""
    with start_gcs_server() as server:
        yield server


@pytest.fixture
def s3_proxy(s3_server: S3Server) -> Iterator[FaultyProxy]:
    """A proxy before the S3 server that misbehaves as told."""
    with faulty_proxy(s3_server.url) as proxy:
        yield proxy


@pytest.fixture
def gcs_proxy(gcs_server: GcsServer) -> Iterator[FaultyProxy]:
    """A proxy before the Google Cloud Storage server that misbehaves as told; a `Store` can also write through it."""
    with faulty_proxy(gcs_server.url, json_puts=True) as proxy:
        yield proxy


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[HubServer]:
    """A Hugging Face hub over HTTP of the test's own, to which HF_ENDPOINT and HF_TOKEN lead."""
    with HubServer() as server:
        for name, value in server.environment(tmp_path / "huggingface").items():
            monkeypatch.setenv(name, value)
        yield server
