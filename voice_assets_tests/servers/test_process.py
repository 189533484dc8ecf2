"""The servers that tests, benchmarks and soak runs start."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from voice_assets_tests.servers.gcs import GcsServer
from voice_assets_tests.servers.process import free_port, is_listening, run_server
from voice_assets_tests.servers.s3 import S3Server

# Whatever started the tests in the background may have let them ignore these signals.
_PROGRAM = """
import signal, time
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGTERM, signal.SIG_DFL)
from voice_assets_tests.servers.gcs import gcs_server
from voice_assets_tests.servers.s3 import s3_server
with s3_server() as s3, gcs_server() as gcs:
    print(s3.url, gcs.url, flush=True)
    time.sleep(600)
"""


@pytest.mark.parametrize("signal_number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_servers_end_with_the_program_that_started_them_however_that_ends(signal_number: int) -> None:
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    with subprocess.Popen(
        [sys.executable, "-c", _PROGRAM], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment, text=True
    ) as program:
        assert program.stdout is not None
        ports = [int(url.rsplit(":", 1)[1]) for url in program.stdout.readline().split()]
        assert len(ports) == 2
        assert all(is_listening(port) for port in ports)
        program.send_signal(signal_number)
    for _ in range(200):
        if not any(is_listening(port) for port in ports):
            break
        time.sleep(0.05)
    assert not any(is_listening(port) for port in ports)


def test_a_command_that_does_not_start_is_an_error_with_its_words() -> None:
    command = [sys.executable, "-c", "raise SystemExit('no such disk')"]
    with pytest.raises(RuntimeError, match="no such disk"), run_server(command, free_port()):
        pass


def test_buckets_are_made_on_demand(s3_server: S3Server, gcs_server: GcsServer) -> None:
    assert len({s3_server.new_bucket(), s3_server.new_bucket()}) == 2
    assert s3_server.new_bucket("with-a-name") == "s3://with-a-name"
    bucket = gcs_server.new_bucket()
    gcs_server.upload(bucket, {"a/b": b"1", "c": b"2"})
    gcs_server.delete(bucket, ["c"])
    assert gcs_server.objects(bucket) == {"a/b": b"1"}
