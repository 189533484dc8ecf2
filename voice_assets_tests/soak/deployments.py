"""Where a corpus may lie: on local disk, on S3, or with the recordings on Google Cloud Storage and the rest on S3."""

import contextlib
import os
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from voice_assets_tests.command_server import RunningCommand, shared_command_server
from voice_assets_tests.dagster_home import PROJECT, corpus_variables, create_dagster_home
from voice_assets_tests.files import files_below
from voice_assets_tests.servers.gcs import GcsServer
from voice_assets_tests.servers.s3 import S3Server
from voice_core.storage.config import StoreConfig
from voice_core.storage.store import Store

STORAGE_KINDS = ("file", "s3", "gcs+s3")


@dataclass(frozen=True, slots=True)
class Deployment:
    """A corpus of its own, with its own Dagster instance, for `voice` commands in processes of their own."""

    kind: str
    home: Path  # holds dagster_home, scratch and logs
    raw_url: str
    work_url: str
    environment: Mapping[str, str] = field(repr=False)
    work_access: StoreConfig = field(default_factory=StoreConfig, repr=False)

    def start(self, *arguments: str) -> RunningCommand:
        """Run `voice` as the leader of a process group; its standard error goes to its standard output."""
        return shared_command_server().start(*arguments, folder=self.home, variables=self.variables(), merged=True)

    def run(self, *arguments: str, timeout_sec: float = 300.0) -> str:
        """Run `voice` to its end; returns what it printed. Raises `AssertionError` unless it succeeds."""
        command = self.start(*arguments)
        output, _ = command.communicate(timeout_sec)
        assert command.returncode == 0, output
        return output

    def variables(self) -> dict[str, str]:
        outside = ("VOICE_", "AWS_", "GOOGLE_", "HF_")
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(outside)}
        return {**inherited, **self.environment}

    def work(self) -> Store:
        return Store(self.work_url, self.work_access, create=True)

    def files(self, *but: str) -> dict[str, bytes]:
        """Every object below the work root by its key, except those below some prefixes."""
        work = self.work()
        keys = sorted(item.key for item in work.listing() if not item.key.startswith(but))
        return dict(zip(keys, work.map_keys(work.get, keys), strict=True))

    def empty(self) -> None:
        """Remove all that was made, and Dagster's memory of it."""
        work = self.work()
        work.delete([item.key for item in work.listing()])
        shutil.rmtree(self.home / "dagster_home")
        _make_instance(self.home)

    def leftovers(self) -> list[str]:
        """What only a process that was killed leaves: half files, claims, local copies."""
        found = [item.key for item in self.work().listing() if item.key.startswith("locks/") or ".part" in item.key]
        if self.work().local_root is not None:
            found += [str(path) for path in (self.home / "work").rglob("*#*")]
        scratch = self.home / "scratch"
        found += [str(path) for path in scratch.rglob("*") if path.is_file() and path.name != "ledger.lock"]
        return found


def create_file_deployment(home: Path, raw: Path) -> Deployment:
    urls = {"VOICE_RAW_URL": raw.as_uri(), "VOICE_WORK_URL": (home / "work").as_uri()}
    return _create_deployment("file", home, urls, {}, StoreConfig())


def create_s3_deployment(home: Path, raw: Path, s3: S3Server, endpoint_url: str = "") -> Deployment:
    """Both on S3; with `endpoint_url`, through a proxy there."""
    raw_url, work_url = s3.new_bucket(), f"{s3.new_bucket()}/work"
    Store(raw_url, s3.access()).put_many(files_below(raw))
    urls = {"VOICE_RAW_URL": raw_url, "VOICE_WORK_URL": work_url}
    return _create_deployment("s3", home, urls, s3.environment(endpoint_url), s3.access())


def create_gcs_s3_deployment(home: Path, raw: Path, gcs: GcsServer, s3: S3Server) -> Deployment:
    raw_url, work_url = gcs.new_bucket(), f"{s3.new_bucket()}/work"
    gcs.upload_folder(raw_url, raw)
    urls = {"VOICE_RAW_URL": raw_url, "VOICE_WORK_URL": work_url}
    return _create_deployment("gcs+s3", home, urls, {**gcs.environment(), **s3.environment()}, s3.access())


def _create_deployment(
    kind: str, home: Path, urls: Mapping[str, str], variables: Mapping[str, str], access: StoreConfig
) -> Deployment:
    home.mkdir(parents=True, exist_ok=True)
    _make_instance(home)
    environment = {
        **corpus_variables(urls["VOICE_RAW_URL"], urls["VOICE_WORK_URL"], home / "dagster_home"),
        **variables,
        "VOICE_LOCAL_DIR": str(home / "scratch"),
        "PYTHONPATH": str(PROJECT),
    }
    return Deployment(kind, home, urls["VOICE_RAW_URL"], urls["VOICE_WORK_URL"], environment, access)


def _make_instance(home: Path) -> None:
    create_dagster_home(home / "dagster_home")


@contextlib.contextmanager
def open_deployment(kind: str, home: Path, raw: Path, s3: S3Server, gcs: GcsServer) -> Iterator[Deployment]:
    """A place of a kind of `STORAGE_KINDS`, filled with the recordings of the folder `raw`."""
    if kind == "file":
        yield create_file_deployment(home, raw)
    elif kind == "s3":
        yield create_s3_deployment(home, raw, s3)
    else:
        yield create_gcs_s3_deployment(home, raw, gcs, s3)
