"""An S3 server over HTTP or HTTPS: moto, in a process of its own. It keeps objects in memory and checks no signature.

with s3_server() as server:
    work_url = server.new_bucket()
    subprocess.run(["voice", "build"], env={**os.environ, **server.environment(VOICE_WORK_URL=work_url)})
"""

import contextlib
import ssl
import sys
import tempfile
import urllib.request
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from voice_assets_tests.servers.certificates import make_certificate
from voice_assets_tests.servers.parent_guard import wait_for_stdin_close
from voice_assets_tests.servers.process import run_python_module
from voice_core.storage.config import StoreConfig

ACCESS_KEY_ID, SECRET_ACCESS_KEY = "tester", "not-a-secret"


@dataclass(frozen=True, slots=True)
class S3Server:
    url: str  # http://127.0.0.1:PORT, without a slash at the end
    ca_bundle: str = ""  # PEM of the authority, where the server speaks TLS

    def new_bucket(self, name: str = "") -> str:
        """Make a bucket and return its URL, `s3://NAME`."""
        name = name or f"bucket-{uuid.uuid4().hex[:12]}"
        request = urllib.request.Request(f"{self.url}/{name}", method="PUT")
        with urllib.request.urlopen(request, timeout=30, context=self._tls()):
            return f"s3://{name}"

    def environment(self, endpoint_url: str = "", **more: str) -> dict[str, str]:
        """The variables with which s3:// URLs lead here, or to a proxy at `endpoint_url`; and `more`."""
        return {
            "VOICE_S3__ENDPOINT_URL": endpoint_url or self.url,
            "VOICE_S3__ACCESS_KEY_ID": ACCESS_KEY_ID,
            "VOICE_S3__SECRET_ACCESS_KEY": SECRET_ACCESS_KEY,
            "VOICE_S3__REGION": "us-east-1",
            "VOICE_S3__CA_BUNDLE": self.ca_bundle,
            **more,
        }

    def access(self, endpoint_url: str = "", **more: Any) -> StoreConfig:
        """The same for a `Store` of this process."""
        return StoreConfig(
            endpoint_url=endpoint_url or self.url,
            access_key_id=ACCESS_KEY_ID,
            secret_access_key=SECRET_ACCESS_KEY,
            ca_bundle=self.ca_bundle,
            **more,
        )

    def client(self) -> Any:
        """boto3's client, for what a `Store` does not do."""
        import boto3

        return boto3.client(
            "s3",
            endpoint_url=self.url,
            aws_access_key_id=ACCESS_KEY_ID,
            aws_secret_access_key=SECRET_ACCESS_KEY,
            region_name="us-east-1",
            verify=self.ca_bundle or None,
        )

    def _tls(self) -> ssl.SSLContext | None:
        return ssl.create_default_context(cafile=self.ca_bundle) if self.ca_bundle else None


@contextlib.contextmanager
def s3_server(*, tls: bool = False) -> Iterator[S3Server]:
    """Start a server; it ends with the block."""
    with tempfile.TemporaryDirectory(prefix="voice-s3-") as folder:
        arguments: list[str] = []
        authority = ""
        if tls:
            made = make_certificate(Path(folder))
            arguments = [str(made.certificate), str(made.key)]
            authority = str(made.authority)
        with run_python_module("voice_assets_tests.servers.s3", *arguments) as port:
            yield S3Server(f"{'https' if tls else 'http'}://127.0.0.1:{port}", authority)


def _serve(certificate_and_key: list[str]) -> None:
    import os
    import threading

    from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
    from werkzeug.serving import make_server

    class Quiet(MotoRequestHandler):
        def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
            pass

    server = make_server(
        "127.0.0.1",
        0,
        DomainDispatcherApplication(create_backend_app),
        threaded=True,
        request_handler=Quiet,
        ssl_context=(certificate_and_key[0], certificate_and_key[1]) if certificate_and_key else None,
    )
    sys.stdout.write(f"{server.port}\n")
    sys.stdout.flush()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    wait_for_stdin_close()
    os._exit(0)


if __name__ == "__main__":
    _serve(sys.argv[1:])
