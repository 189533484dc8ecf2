"""Builds that are stopped for longer than their claims last, while another build of the same work root runs."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from voice_assets_tests.core.corpus.cloud_corpus import Buckets, CloudCorpus
from voice_assets_tests.processes import kill_process_group
from voice_core.storage.distributed_lock import LockLostError

RENEW_INTERVAL_SEC, VALID_AFTER_RENEWAL_SEC, EXPIRY_SEC = 0.3, 1.5, 3.0
# What a program runs first so that its claims last for seconds only.
SHORT_CLAIMS = (
    "from voice_core.storage import distributed_lock; "
    "distributed_lock.RENEW_INTERVAL_SEC, distributed_lock.VALID_AFTER_RENEWAL_SEC, distributed_lock.EXPIRY_SEC = "
    f"{RENEW_INTERVAL_SEC}, {VALID_AFTER_RENEWAL_SEC}, {EXPIRY_SEC}; "
)
_BUILD = f"{SHORT_CLAIMS} from voice_assets_tests.soak.paused_build import main; main()"


@contextlib.contextmanager
def run_build_process(corpus: CloudCorpus, folder: Path) -> Iterator["subprocess.Popen[str]"]:
    """A build of a corpus on S3 as a process group of its own, with two workers. It prints the error that ends it."""
    buckets = corpus.buckets
    process = subprocess.Popen(
        [
            sys.executable,
            "-c",
            _BUILD,
            buckets.raw_url,
            buckets.work_url,
            buckets.work_access.endpoint_url,
            str(folder),
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        kill_process_group(process.pid)
        process.communicate()


def main() -> None:
    """The program of `run_build_process`."""
    from voice_assets_tests.servers.s3 import S3Server

    raw_url, work_url, endpoint_url, folder = sys.argv[1:]
    access = S3Server(endpoint_url).access()
    corpus = CloudCorpus(Path(folder), Buckets(raw_url, work_url, access, access, access, access))
    corpus.settings = corpus.settings.model_copy(update={"workers": 2})
    try:
        corpus.build()
    except LockLostError as error:
        sys.stdout.write(f"{error}\n")


def stop_group(group: int) -> None:
    """Stop a process and all its workers, as a suspended machine does."""
    os.killpg(group, signal.SIGSTOP)


def continue_group(group: int) -> None:
    os.killpg(group, signal.SIGCONT)


def wait_for_process(happened: Callable[[], bool], process: "subprocess.Popen[Any]") -> None:
    """Wait for something that a process does. Raises `AssertionError` with its output where it ends first."""
    while not happened():
        if process.poll() is not None:
            raise AssertionError(f"it has ended: {process.communicate()[0]!r}")
        time.sleep(0.01)
