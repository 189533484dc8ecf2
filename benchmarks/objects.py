"""Many small objects to and from an S3 server on this machine.

Ours (`Store.put_many` and `Store.each(get)`, 32 requests in flight) against the usual way (boto3, four threads), with
two servers: moto, a full S3 server in Python, and nginx with WebDAV, which takes the same PUT and GET requests, has
no listings and checks no signatures, and is fast enough not to be the limit. For comparison: plain requests of Python's
http.client over eight connections, to addresses signed beforehand.

Prediction: against nginx ours puts 6,000 and gets 9,000 objects/s where boto3 does 700 and 900, bound by its own
Python: 8 and 10 times. Against moto both are bound by the server, at about 300 to 500 requests/s: less than 2 times.
"""

import contextlib
import http.client
import os
import shutil
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import boto3
from botocore.config import Config

from benchmarks.common import Options, Prepare, Sample, describe_disturbance, median_sec, run_interleaved, runs_as_dicts
from benchmarks.report import Goal, Report
from voice_assets_tests.servers.process import free_port, run_server
from voice_assets_tests.servers.s3 import s3_server
from voice_core.storage.config import StoreConfig
from voice_core.storage.store import Store

OBJECT_BYTES = 16 << 10
BUCKET = "bench"
_NGINX = """
daemon off; worker_processes 1; pid {root}/nginx.pid; error_log {root}/error.log crit;
events {{ worker_connections 512; }}
http {{
  access_log off; client_body_temp_path {root}/body; client_body_in_file_only off; client_max_body_size 64m;
  keepalive_requests 1000000; root {root}/files; etag on;
  server {{
    listen 127.0.0.1:{port};
    location / {{ dav_methods PUT DELETE; create_full_put_path on; add_header ETag '"stored"' always; }}
  }}
}}
"""

Server = tuple[str, str]  # name, URL


def measure(options: Options) -> Report:
    fast, slow = (500, 200) if options.quick else (20_000, 1_000)
    with tempfile.TemporaryDirectory(prefix="voice-bench-") as folder, contextlib.ExitStack() as stack:
        servers: list[tuple[Server, int]] = []
        notes = [f"objects of {OBJECT_BYTES >> 10} KiB; against moto {slow:,} of them, since it is slow"]
        if shutil.which("nginx"):
            servers.append((("nginx", stack.enter_context(_nginx(Path(folder)))), fast))
        else:
            notes.append("nginx is not installed (Debian: nginx-light), so there is no server here that is fast enough")
        moto = stack.enter_context(s3_server())
        moto.client().create_bucket(Bucket=BUCKET)
        servers.append((("moto", moto.url), slow))
        cases: dict[str, Prepare] = {}
        counts: dict[str, int] = {}
        for server, count in servers:
            for way, (put, get) in _clients(server[1], count).items():
                cases[f"{way} put {server[0]}"] = partial(lambda call: call, put)
                cases[f"{way} get {server[0]}"] = partial(lambda call: call, get)
                counts |= {f"{way} put {server[0]}": count, f"{way} get {server[0]}": count}
        samples = run_interleaved(cases, options.runs)
        return _report([server[0] for server, _ in servers], samples, counts, notes)


@contextlib.contextmanager
def _nginx(folder: Path) -> Iterator[str]:
    port = free_port()
    for name in ("files", "body"):
        (folder / name).mkdir()
    config = folder / "nginx.conf"
    config.write_text(_NGINX.format(root=folder, port=port))
    if os.getuid() == 0:
        config.write_text(f"user root;\n{config.read_text()}")
    with run_server(["nginx", "-c", str(config), "-e", str(folder / "error.log")], port):
        yield f"http://127.0.0.1:{port}"


def _clients(url: str, count: int) -> dict[str, tuple[Callable[[], object], Callable[[], object]]]:
    keys = [f"segments/news/batch-0001/rec_seg_{number}.npz" for number in range(count)]
    data = os.urandom(OBJECT_BYTES)
    store = Store(
        f"s3://{BUCKET}", StoreConfig(endpoint_url=url, region="us-east-1", access_key_id="a", secret_access_key="b")
    )
    client = boto3.client(
        "s3",
        endpoint_url=url,
        region_name="us-east-1",
        aws_access_key_id="a",
        aws_secret_access_key="b",
        config=Config(s3={"addressing_style": "path"}, request_checksum_calculation="when_required"),
    )
    signed = {
        what: [client.generate_presigned_url(what, {"Bucket": BUCKET, "Key": key}) for key in keys]
        for what in ("put_object", "get_object")
    }
    return {
        "ours": (
            lambda: store.put_many(dict.fromkeys(keys, data)),
            lambda: _check_sizes(store.map_keys(store.get, keys)),
        ),
        "usual": (
            lambda: _map_threads(4, lambda key: client.put_object(Bucket=BUCKET, Key=key, Body=data), keys),
            lambda: _check_sizes(
                _map_threads(4, lambda key: client.get_object(Bucket=BUCKET, Key=key)["Body"].read(), keys)
            ),
        ),
        "raw": (
            lambda: _send_plain_requests(url, "PUT", signed["put_object"], data),
            lambda: _send_plain_requests(url, "GET", signed["get_object"], None),
        ),
    }


def _check_sizes(bodies: Sequence[bytes]) -> None:
    assert all(len(body) == OBJECT_BYTES for body in bodies)


def _map_threads(count: int, call: Callable[[str], Any], keys: Sequence[str]) -> list[Any]:
    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(call, keys))


def _send_plain_requests(url: str, method: str, signed: Sequence[str], body: bytes | None) -> None:
    """Plain requests to addresses that were signed before, over eight connections."""
    address = urlsplit(url)
    mine = threading.local()

    def one(target: str) -> None:
        if not hasattr(mine, "connection"):
            mine.connection = http.client.HTTPConnection(str(address.hostname), address.port)
        mine.connection.request(method, target.removeprefix(url), body)
        answer = mine.connection.getresponse()
        answer.read()
        assert answer.status < 300, answer.status

    _map_threads(8, one, signed)


def _report(servers: list[str], samples: dict[str, list[Sample]], counts: dict[str, int], notes: list[str]) -> Report:
    speed = {name: counts[name] / median_sec(found) for name, found in samples.items()}
    rows = []
    for server in servers:
        for what in ("put", "get"):
            ours, usual, raw = (speed[f"{way} {what} {server}"] for way in ("ours", "usual", "raw"))
            rows.append([f"{what} {server}", f"{ours:,.0f}", f"{usual:,.0f}", f"{raw:,.0f}", f"{ours / usual:.1f}"])
    first = servers[0]
    goals = [
        Goal(f"{what} ours / usual, {first}", speed[f"ours {what} {first}"] / speed[f"usual {what} {first}"], 5,
             at_least=True, unit=" ×")
        for what in ("put", "get")
    ]  # fmt: skip
    notes.append(describe_disturbance(samples))
    columns = ["what", "ours /s", "boto3, 4 threads /s", "plain requests /s", "vs boto3"]
    return Report(columns, rows, goals, notes, {"runs": runs_as_dicts(samples)})
