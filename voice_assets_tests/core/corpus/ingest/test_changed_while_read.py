"""Raw objects that change while they are read, and are put back: nothing of what was between becomes current."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from voice_assets_tests.core.corpus.adopt.segment_cache import Cache, manifest_of
from voice_assets_tests.core.corpus.cloud_corpus import Buckets, CloudWorld
from voice_assets_tests.core.corpus.small_corpus import RATE, World, babble, encode
from voice_assets_tests.servers.s3 import S3Server
from voice_core.corpus.adopt.adopt import AdoptOptions, adopt
from voice_core.corpus.ingest.batches import read_batch, snapshot
from voice_core.corpus.segment.segment_stage import SegmentsReport, build_segments, is_current
from voice_core.layout import PartitionKey
from voice_core.storage.config import Access
from voice_core.storage.store import Store

NEWS = PartitionKey("news", 1)


class SwappingStore(Store):
    """One object has another content for as long as it is read. `direct` writes to the same place."""

    def __init__(self, url: str, key: str, between: bytes, access: Access | None = None) -> None:
        super().__init__(url, access)
        self.direct = Store(url, access)
        self.key, self.between = key, between

    def get(self, key: str, *more: Any) -> bytes:
        with _Swapped(self, key):
            return super().get(key, *more)

    def download(self, key: str, path: Path, *more: Any) -> str:
        with _Swapped(self, key):
            return super().download(key, path, *more)


class _Swapped:
    def __init__(self, store: SwappingStore, key: str) -> None:
        self.store, self.mine = store, key == store.key

    def __enter__(self) -> None:
        if self.mine:
            self.before = self.store.direct.get(self.store.key)
            self._put(self.store.between)

    def __exit__(self, *_: object) -> None:
        if self.mine:
            self._put(self.before)

    def _put(self, data: bytes) -> None:
        root = self.store.direct.local_root
        if root is None:
            self.store.direct.put(self.store.key, data)
            return
        path = root / self.store.key
        times = path.stat()
        path.write_bytes(data)
        os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))


def rewritten(lines: list[dict[str, Any]]) -> bytes:
    return json.dumps({"segments": [{**line, "text": line["text"].upper()} for line in lines]}).encode()


def build(world: World, raw: Store) -> SegmentsReport:
    snapshot(world.raw, world.work, NEWS, world.settings)
    return build_segments(raw, world.work, NEWS, world.settings)


def texts(world: World) -> set[str]:
    return {entry.text for entry in world.segments().entries if entry.kind == "line"}


def test_a_transcript_that_changes_while_it_is_read_and_back_leaves_what_was_cut_before(world: World) -> None:
    lines = world.record("a")
    world.segment()
    lines[0]["text"] = "The corrected first line."
    world.transcribe("a", lines)
    raw = SwappingStore(world.settings.raw_url, "news/a.json", rewritten(lines))
    before = texts(world)
    report = build(world, raw)
    (outcome,) = report.manifest.recordings
    assert outcome.status == "unreachable"
    assert "news/a.json changed while it was read; the next build reads it again" in outcome.message
    assert texts(world) == before
    assert not is_current(world.work, read_batch(world.work, NEWS), world.settings)
    assert {item.status for item in build(world, world.raw).manifest.recordings} == {"ok"}
    assert texts(world) == {line["text"] for line in lines}


@pytest.mark.parametrize("readable", [True, False])
def test_a_transcript_that_changes_while_a_new_recording_is_cut_gives_no_line(world: World, readable: bool) -> None:
    lines = world.record("a")
    world.discover()
    between = rewritten(lines) if readable else b"{"
    report = build(world, SwappingStore(world.settings.raw_url, "news/a.json", between))
    assert {entry.reason for entry in report.manifest.entries} == {"not_read"}
    build(world, world.raw)
    assert texts(world) == {line["text"] for line in lines}


def test_a_transcript_that_changes_while_it_is_snapshotted_is_hashed_again(world: World) -> None:
    lines = world.record("a")
    world.discover()
    raw = SwappingStore(world.settings.raw_url, "news/a.json", rewritten(lines))
    snapshot(raw, world.work, NEWS, world.settings)
    for _ in range(2):
        build(world, world.raw)
    assert texts(world) == {line["text"] for line in lines}
    assert {item.status for item in world.segments().recordings} == {"ok"}


def test_audio_in_a_bucket_that_changes_while_it_is_copied_and_back_is_not_cut(
    tmp_path: Path, s3_server: S3Server
) -> None:
    access, work = s3_server.access(), f"{s3_server.new_bucket()}/work"
    world = CloudWorld(tmp_path, Buckets(s3_server.new_bucket(), work, access, access, access, access))
    world.record("a")
    world.upload()
    world.discover()
    encode(tmp_path / "other.wav", babble(6.0, seed=9), RATE)
    raw = SwappingStore(world.buckets.raw_url, "news/a.wav", (tmp_path / "other.wav").read_bytes(), access)
    (outcome,) = build(world, raw).manifest.recordings
    assert (outcome.status, outcome.audio_sha256) == ("unreachable", "")
    build(world, world.raw)
    world.sound(world.segments())
    assert {item.status for item in world.segments().recordings} == {"ok"}


def test_local_audio_that_changes_while_it_is_decoded_and_back_is_not_cut(world: World, tmp_path: Path) -> None:
    world.record("a")
    world.discover()
    path = world.audio_path("a")
    before, times = path.read_bytes(), path.stat()

    class Rehashed(Store):
        """The file changes once its hash is known, and changes back, with its time, before it is looked at again."""

        def hash(self, key: str) -> str:
            digest = super().hash(key)
            encode(path, babble(6.0, seed=9), RATE)
            path.write_bytes(before)
            os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
            return digest

    (outcome,) = build(world, Rehashed(world.settings.raw_url)).manifest.recordings
    assert (outcome.status, outcome.audio_sha256) == ("unreachable", "")
    assert {item.status for item in build(world, world.raw).manifest.recordings} == {"ok"}


def test_a_segment_file_that_changes_while_it_is_adopted_and_back_is_not_taken(
    tmp_path: Path, s3_server: S3Server, world: World, cache: Cache
) -> None:
    cache.recording("v", count=2)
    access, url = s3_server.access(), s3_server.new_bucket()
    for path in cache.folder.rglob("*.npz"):
        Store(url, access).put(str(path.relative_to(cache.folder)), path.read_bytes())
    between = cache.write("v", 1, text="Something else.").read_bytes()
    source = SwappingStore(url, "zad/v_seg_1.npz", between, access)
    adopt(source, world.work, world.settings, AdoptOptions())
    assert {entry.index: entry.reason for entry in manifest_of(world).entries if not entry.kept} == {1: "not_read"}
    adopt(Store(url, access), world.work, world.settings, AdoptOptions())
    assert {entry.text for entry in manifest_of(world).kept()} == {
        "Line 0 of v, one of several.", "Line 1 of v, one of several.",
    }  # fmt: skip
