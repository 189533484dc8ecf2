"""Raw objects that change while they are read, and are put back: nothing of what was between becomes current."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from voice_assets_tests.core.corpus.adopt.segment_cache import SegmentCache, read_segments_manifest
from voice_assets_tests.core.corpus.cloud_corpus import Buckets, CloudCorpus
from voice_assets_tests.core.corpus.small_corpus import RATE, Corpus, speech_like_noise, write_audio
from voice_assets_tests.servers.s3 import S3Server
from voice_core.corpus.adopt.adopt import AdoptOptions, adopt
from voice_core.corpus.ingest.batches import read_batch
from voice_core.corpus.ingest.snapshot import snapshot_batch
from voice_core.corpus.segment.segment_stage import SegmentsReport, build_segments, is_current
from voice_core.layout import PartitionKey
from voice_core.storage.config import StoreConfig
from voice_core.storage.store import Store

NEWS = PartitionKey("news", 1)


class SwappingStore(Store):
    """One object has another content for as long as it is read. `direct` writes to the same place."""

    def __init__(self, url: str, key: str, between: bytes, access: StoreConfig | None = None) -> None:
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


def build(corpus: Corpus, raw: Store) -> SegmentsReport:
    snapshot_batch(corpus.raw, corpus.work, NEWS, corpus.settings)
    return build_segments(raw, corpus.work, NEWS, corpus.settings)


def texts(corpus: Corpus) -> set[str]:
    return {entry.text for entry in corpus.segments().entries if entry.kind == "line"}


def test_a_transcript_that_changes_while_it_is_read_and_back_leaves_what_was_cut_before(corpus: Corpus) -> None:
    lines = corpus.add_recording("a")
    corpus.segment()
    lines[0]["text"] = "The corrected first line."
    corpus.write_transcript("a", lines)
    raw = SwappingStore(corpus.settings.raw_url, "news/a.json", rewritten(lines))
    before = texts(corpus)
    report = build(corpus, raw)
    (outcome,) = report.manifest.recordings
    assert outcome.status == "unreachable"
    assert "news/a.json changed while it was read; the next build reads it again" in outcome.message
    assert texts(corpus) == before
    assert not is_current(corpus.work, read_batch(corpus.work, NEWS), corpus.settings)
    assert {item.status for item in build(corpus, corpus.raw).manifest.recordings} == {"ok"}
    assert texts(corpus) == {line["text"] for line in lines}


@pytest.mark.parametrize("readable", [True, False])
def test_a_transcript_that_changes_while_a_new_recording_is_cut_gives_no_line(corpus: Corpus, readable: bool) -> None:
    lines = corpus.add_recording("a")
    corpus.discover()
    between = rewritten(lines) if readable else b"{"
    report = build(corpus, SwappingStore(corpus.settings.raw_url, "news/a.json", between))
    assert {entry.reason for entry in report.manifest.entries} == {"not_read"}
    build(corpus, corpus.raw)
    assert texts(corpus) == {line["text"] for line in lines}


def test_a_transcript_that_changes_while_it_is_snapshotted_is_hashed_again(corpus: Corpus) -> None:
    lines = corpus.add_recording("a")
    corpus.discover()
    raw = SwappingStore(corpus.settings.raw_url, "news/a.json", rewritten(lines))
    snapshot_batch(raw, corpus.work, NEWS, corpus.settings)
    for _ in range(2):
        build(corpus, corpus.raw)
    assert texts(corpus) == {line["text"] for line in lines}
    assert {item.status for item in corpus.segments().recordings} == {"ok"}


def test_audio_in_a_bucket_that_changes_while_it_is_copied_and_back_is_not_cut(
    tmp_path: Path, s3_server: S3Server
) -> None:
    access, work = s3_server.access(), f"{s3_server.new_bucket()}/work"
    corpus = CloudCorpus(tmp_path, Buckets(s3_server.new_bucket(), work, access, access, access, access))
    corpus.add_recording("a")
    corpus.upload()
    corpus.discover()
    write_audio(tmp_path / "other.wav", speech_like_noise(6.0, seed=9), RATE)
    raw = SwappingStore(corpus.buckets.raw_url, "news/a.wav", (tmp_path / "other.wav").read_bytes(), access)
    (outcome,) = build(corpus, raw).manifest.recordings
    assert (outcome.status, outcome.audio_sha256) == ("unreachable", "")
    build(corpus, corpus.raw)
    corpus.assert_manifest_valid(corpus.segments())
    assert {item.status for item in corpus.segments().recordings} == {"ok"}


def test_local_audio_that_changes_while_it_is_decoded_and_back_is_not_cut(corpus: Corpus, tmp_path: Path) -> None:
    corpus.add_recording("a")
    corpus.discover()
    path = corpus.audio_path("a")
    before, times = path.read_bytes(), path.stat()

    class Rehashed(Store):
        """The file changes once its hash is known, and changes back, with its time, before it is looked at again."""

        def hash(self, key: str) -> str:
            digest = super().hash(key)
            write_audio(path, speech_like_noise(6.0, seed=9), RATE)
            path.write_bytes(before)
            os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
            return digest

    (outcome,) = build(corpus, Rehashed(corpus.settings.raw_url)).manifest.recordings
    assert (outcome.status, outcome.audio_sha256) == ("unreachable", "")
    assert {item.status for item in build(corpus, corpus.raw).manifest.recordings} == {"ok"}


def test_a_segment_file_that_changes_while_it_is_adopted_and_back_is_not_taken(
    tmp_path: Path, s3_server: S3Server, corpus: Corpus, cache: SegmentCache
) -> None:
    cache.recording("v", count=2)
    access, url = s3_server.access(), s3_server.new_bucket()
    for path in cache.folder.rglob("*.npz"):
        Store(url, access).put(str(path.relative_to(cache.folder)), path.read_bytes())
    between = cache.write("v", 1, text="Something else.").read_bytes()
    source = SwappingStore(url, "zad/v_seg_1.npz", between, access)
    adopt(source, corpus.work, corpus.settings, AdoptOptions())
    assert {entry.index: entry.reason for entry in read_segments_manifest(corpus).entries if not entry.kept} == {
        1: "not_read"
    }
    adopt(Store(url, access), corpus.work, corpus.settings, AdoptOptions())
    assert {entry.text for entry in read_segments_manifest(corpus).kept()} == {
        "Line 0 of v, one of several.", "Line 1 of v, one of several.",
    }  # fmt: skip
