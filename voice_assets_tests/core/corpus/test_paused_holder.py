"""A build that is stopped while another one takes its claim over, and continues when that has finished."""

from pathlib import Path

import pytest

from voice_assets_tests.core.corpus.cloud_corpus import Buckets, CloudWorld, made_of_content
from voice_assets_tests.core.corpus.small_corpus import World
from voice_assets_tests.servers.s3 import S3Server
from voice_assets_tests.soak import paused
from voice_assets_tests.soak.paused import build_elsewhere, continue_group, stop_group, wait_until
from voice_core.storage import distributed_lock


def _record(world: World, *, corrected: bool) -> None:
    for name in "abcd":
        lines = world.record(name, 6.0)
        if corrected:
            for line in lines:
                line["text"] = f"Corrected: {line['text']}"
                line["end"] -= 0.1
        world.transcribe(name, lines)


def test_a_build_that_was_stopped_past_its_claim_writes_nothing_over_the_build_that_took_over(
    tmp_path: Path, s3_server: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("RENEWED_EVERY_SEC", "SAFE_SEC", "ABANDONED_AFTER_SEC"):
        monkeypatch.setattr(distributed_lock, name, getattr(paused, name))
    folders = [tmp_path / name for name in ("local", "first", "second")]
    for folder in folders:
        folder.mkdir()
    local = World(folders[0])
    _record(local, corrected=True)
    local.build()

    access = s3_server.access()
    buckets = Buckets(s3_server.new_bucket(), f"{s3_server.new_bucket()}/work", access, access, access, access)
    world = CloudWorld(folders[2], buckets)
    _record(world, corrected=False)
    world.upload()
    with build_elsewhere(world, folders[1]) as first:
        wait_until(lambda: any(item.key.endswith(".npz") for item in world.work.listing("segments")), first)
        stop_group(first.pid)
        _record(world, corrected=True)
        world.upload()
        world.build()
        continue_group(first.pid)
        output, _ = first.communicate(timeout=60)
    assert "lost its claim on news/batch-0001 to a process that has finished since; nothing more was written" in output
    assert "Traceback" not in output
    assert made_of_content(world.files()) == made_of_content(local.files())
