"""Local copies: never more than the budget at a time, over all processes, and nothing left behind."""

import contextlib
import logging
import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from voice_assets_tests.core.corpus.small_corpus import Corpus
from voice_assets_tests.processes import read_output_line, run_program
from voice_assets_tests.servers.s3 import S3Server
from voice_core.compute import workers
from voice_core.corpus.dataset import rows_stage, splits
from voice_core.corpus.encode import encode_stage
from voice_core.corpus.ingest.discovery import discover
from voice_core.corpus.ingest.snapshot import snapshot_batch
from voice_core.corpus.segment import segment_stage
from voice_core.layout import PartitionKey
from voice_core.settings import Settings
from voice_core.stages.manifest import Manifest, read_complete_manifest
from voice_core.storage.scratch import Scratch, ScratchLimitError, open_scratch
from voice_core.storage.store import Store

NEWS = PartitionKey("news", 1)


def settings(folder: Path, size: int = 1000) -> Settings:
    return Settings(local_dir=str(folder), local_gb=size / 1e9)


def taken(root: Path) -> int:
    """Bytes that lie in the rooms now."""
    total = 0
    for place, _, names in os.walk(root):
        for name in names if Path(place) != root else ():
            with contextlib.suppress(FileNotFoundError):
                total += Path(place, name).stat().st_size
    return total


def rooms(root: Path) -> list[Path]:
    return [path for path in root.iterdir() if path.is_dir() or path.suffix == ".room"]


@contextmanager
def watched(root: Path) -> Iterator[list[int]]:
    """Look at the folder all the time; the list gets the most that lay there."""
    most, ended = [0], threading.Event()

    def watch() -> None:
        while not ended.wait(0.001):
            most[0] = max(most[0], taken(root))

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield most
    finally:
        ended.set()
        watcher.join()


def test_a_room_is_gone_after_it_was_used_whether_well_or_not(tmp_path: Path) -> None:
    scratch = open_scratch(settings(tmp_path))
    with scratch.reserve(10, "a copy") as folder:
        (folder / "audio").write_bytes(b"0123456789")
        assert scratch.reserved_bytes() == 10
    with pytest.raises(FileNotFoundError), scratch.reserve(10, "a copy") as folder:
        (folder / "copy").write_bytes((folder / "audio").read_bytes())
    assert rooms(tmp_path) == []
    assert scratch.reserved_bytes() == 0


def test_what_is_larger_than_the_budget_gets_no_room_and_is_told_the_setting(tmp_path: Path) -> None:
    scratch = open_scratch(settings(tmp_path, 2_000_000_000))
    expected = r"a copy of news/a.wav needs 3.000 GB of local disk; VOICE_LOCAL_GB allows 2"
    with pytest.raises(ScratchLimitError, match=expected), scratch.reserve(3_000_000_000, "a copy of news/a.wav"):
        pass
    assert rooms(tmp_path) == []


def test_a_room_waits_until_another_leaves_enough(tmp_path: Path) -> None:
    scratch = open_scratch(settings(tmp_path, 100))
    began = threading.Event()

    def second() -> None:
        with scratch.reserve(60, "a copy"):
            began.set()

    with scratch.reserve(50, "a copy"):
        waiting = threading.Thread(target=second)
        waiting.start()
        assert not began.wait(0.3)
    waiting.join(timeout=10)
    assert began.is_set()


def _write(task: tuple[Scratch, int]) -> int:
    scratch, size = task
    with scratch.reserve(size, "a copy") as folder:
        (folder / "audio").write_bytes(b"x" * size)
        time.sleep(0.01)
    return size


def test_all_processes_together_stay_within_the_budget(tmp_path: Path) -> None:
    scratch = open_scratch(settings(tmp_path, 1000))
    sizes = [100 + 97 * (i % 9) for i in range(30)]
    with watched(tmp_path) as most:
        done = [result for _, result in workers.map_unordered(_write, [(scratch, size) for size in sizes], 3)]
    assert sorted(done) == sorted(sizes)
    assert 0 < most[0] <= 1000
    assert rooms(tmp_path) == []


HOLDER = """
import pathlib, sys, time
from voice_core.storage.scratch import open_scratch
from voice_core.settings import Settings
with open_scratch(Settings(local_dir=sys.argv[1])).room(5, "a copy") as folder:
    (folder / "audio").write_bytes(b"12345")
    print("held", flush=True)
    time.sleep(60)
"""


@contextmanager
def holder(root: Path) -> Iterator[subprocess.Popen[str]]:
    with run_program(HOLDER, str(root)) as process:
        assert read_output_line(process) == "held"
        yield process


def test_what_a_killed_process_left_is_swept_by_the_next_and_what_a_living_one_holds_is_not(tmp_path: Path) -> None:
    with holder(tmp_path) as dead, holder(tmp_path):
        dead.kill()
        dead.wait()
        assert taken(tmp_path) == 10
        left = Scratch(tmp_path, 1000, "").find_abandoned()
        assert (left.count, left.size_bytes) == (1, 5)
        scratch = open_scratch(settings(tmp_path))
        assert taken(tmp_path) == 5
        assert scratch.reserved_bytes() == 5
    open_scratch(settings(tmp_path))
    assert rooms(tmp_path) == []


def test_a_worker_that_is_asked_to_end_leaves_nothing(tmp_path: Path) -> None:
    code = f"from voice_core.compute.worker_signals import install_signal_handlers; install_signal_handlers()\n{HOLDER}"
    with run_program(code, str(tmp_path)) as process:
        assert read_output_line(process) == "held"
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=20) == -signal.SIGTERM
        assert rooms(tmp_path) == []


def test_the_library_leaves_the_signals_of_the_program_that_uses_it_alone(tmp_path: Path) -> None:
    before = signal.getsignal(signal.SIGTERM)
    with open_scratch(settings(tmp_path)).reserve(5, "a copy"):
        assert signal.getsignal(signal.SIGTERM) is before


def test_a_full_disk_is_said_before_it_is_full(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        scratch = open_scratch(settings(tmp_path, 10**18))
    assert scratch.budget_bytes < 10**18
    assert "VOICE_LOCAL_GB allows 1e+09 GB, but only" in caplog.text
    assert "VOICE_LOCAL_DIR names another place" in caplog.text


# --- a corpus in a bucket


class Remote:
    """A corpus whose raw bucket and work root lie on an S3 server."""

    def __init__(self, corpus: Corpus, server: S3Server, scratch: Path) -> None:
        self.raw = Store(server.new_bucket(), server.access())
        self.work = Store(server.new_bucket(), server.access())
        self.corpus, self.scratch = corpus, scratch
        for path in corpus.raw_dir.rglob("*.*"):
            self.raw.put(path.relative_to(corpus.raw_dir).as_posix(), path.read_bytes())
        corpus.set(workers=3, local_dir=str(scratch))

    def build(self, budget_bytes: int) -> tuple[Manifest, Manifest]:
        self.corpus.set(local_gb=budget_bytes / 1e9)
        settings = self.corpus.settings
        discover(self.raw, self.work, settings)
        snapshot_batch(self.raw, self.work, NEWS, settings)
        segments = segment_stage.build_segments(self.raw, self.work, NEWS, settings).manifest
        encode_stage.build_codes(self.work, NEWS, self.corpus.codec, settings)
        plan = splits.build_splits(self.work, [segments], settings)
        return segments, rows_stage.build_dataset(self.work, NEWS, plan, settings).manifest


@pytest.fixture
def remote(s3_server: S3Server, tmp_path: Path) -> Remote:
    corpus = Corpus(tmp_path)
    for number, name in enumerate("abcdefg"):
        corpus.add_recording(name, seconds=4.0 + 2 * (number % 3))
    corpus.add_recording("long", seconds=28.0)
    return Remote(corpus, s3_server, tmp_path / "scratch")


def test_a_corpus_in_a_bucket_is_built_within_a_budget_that_holds_a_few_of_its_recordings(remote: Remote) -> None:
    budget = 1_250_000
    remote.scratch.mkdir()
    with watched(remote.scratch) as most:
        segments, rows = remote.build(budget)
    assert 8 * 48_000 <= most[0] <= budget
    assert rooms(remote.scratch) == []
    statuses = {item.audio_id: item.status for item in segments.recordings}
    assert statuses == {**dict.fromkeys("abcdefg", "ok"), "long": "unreachable"}
    entry = next(entry for entry in segments.entries if entry.audio_id == "long")
    assert entry.reason == "no_room"
    assert "needs 0.0013 GB of local disk; VOICE_LOCAL_GB allows 0.00125" in entry.message
    assert len(rows.kept()) == 2 + 3 + 4 + 2 + 3 + 4 + 2

    segments, rows = remote.build(3_000_000)
    assert {item.status for item in segments.recordings} == {"ok"}
    assert len(rows.kept()) == 20 + 14
    assert rooms(remote.scratch) == []


def test_rows_that_outgrow_the_budget_are_refused_and_leave_nothing(remote: Remote) -> None:
    remote.build(3_000_000)
    remote.corpus.set(local_gb=100_000 / 1e9, channel_mapping={"news": "The news"})
    plan = splits.require_splits(remote.work, remote.corpus.settings)
    with pytest.raises(ScratchLimitError, match=r"VOICE_LOCAL_GB allows 0\.0001"):
        rows_stage.build_dataset(remote.work, NEWS, plan, remote.corpus.settings)
    assert rooms(remote.scratch) == []
    assert read_complete_manifest(remote.work, "coded", NEWS).kept()
    assert os.listdir(remote.scratch) == ["ledger.lock"]
