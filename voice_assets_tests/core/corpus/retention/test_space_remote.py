"""Freeing, making again and tracing where the recordings lie in one cloud and the work root in another."""

from pathlib import Path

import pytest

from voice_assets_tests.core.corpus.small_corpus import Corpus, make_lines
from voice_assets_tests.servers.gcs import GcsServer
from voice_assets_tests.servers.s3 import S3Server
from voice_core.corpus.lineage.tracer import trace_row, verify_trace
from voice_core.corpus.retention import evict
from voice_core.storage.store import Store


class TwoCloudCorpus(Corpus):
    """A corpus that is recorded here, and built from gs:// to s3://."""

    def __init__(self, folder: Path, gcs: GcsServer, s3: S3Server) -> None:
        super().__init__(folder)
        self.gcs, self.s3 = gcs, s3
        self.raw_url, self.work_url = gcs.new_bucket(), s3.new_bucket()
        self.set(local_dir=str(folder / "scratch"), workers=2)

    @property
    def raw(self) -> Store:
        return Store(self.raw_url, self.gcs.access())

    @property
    def work(self) -> Store:
        return Store(self.work_url, self.s3.access())

    def keys(self, stage: str) -> set[str]:
        return {item.key for item in self.work.listing(stage) if item.key.endswith(".npz")}


@pytest.fixture
def two_clouds(tmp_path: Path, gcs_server: GcsServer, s3_server: S3Server) -> TwoCloudCorpus:
    corpus = TwoCloudCorpus(tmp_path, gcs_server, s3_server)
    for name in "abc":
        lines = make_lines(6.0, name)
        lines[-1]["text"] = f"Far too long a text for {name} in such a short time. " * 3
        corpus.add_recording(name, lines=lines)
    gcs_server.upload_folder(corpus.raw_url, corpus.raw_dir)
    corpus.build()
    return corpus


def test_freed_files_are_rebuilt_to_the_byte_from_buckets(two_clouds: TwoCloudCorpus) -> None:
    before = {key: two_clouds.work.hash(key) for stage in ("segments", "coded") for key in two_clouds.keys(stage)}
    assert len(before) == 9 + 6
    for plan in evict.plan_eviction(
        two_clouds.work, two_clouds.status().partitions, ["segments", "coded"], two_clouds.settings
    ):
        evict.evict_files(two_clouds.work, plan, two_clouds.settings)
    assert two_clouds.keys("segments") | two_clouds.keys("coded") == set()
    assert two_clouds.status().finished
    encoded = two_clouds.codec.encoded
    two_clouds.set(rules={"max_chars_per_sec": 1000.0})
    two_clouds.build()
    assert two_clouds.codec.encoded == encoded + 3
    after = {key: two_clouds.work.hash(key) for stage in ("segments", "coded") for key in two_clouds.keys(stage)}
    assert {key: digest for key, digest in after.items() if key in before} == {
        key: digest for key, digest in before.items() if key in after
    }
    assert {key for key in after if key.startswith("segments/")} == {
        key for key in before if key.startswith("segments/") and key.endswith("_seg_2.npz")
    }
    assert {path.name for path in (two_clouds.raw_dir.parent / "scratch").iterdir()} == {"ledger.lock"}


def test_a_trace_names_the_generation_of_the_raw_object(two_clouds: TwoCloudCorpus) -> None:
    found = trace_row(two_clouds.work, two_clouds.settings, "news/b_seg_1")
    info = two_clouds.raw.head("news/b.wav")
    assert info is not None
    assert found.audio.version == info.version != ""
    assert {check.state for check in verify_trace(found, two_clouds.raw, two_clouds.work)} == {"same"}
    two_clouds.gcs.upload(two_clouds.raw_url, {"news/b.wav": two_clouds.audio_path("b").read_bytes()})
    again = {check.what: check for check in verify_trace(found, two_clouds.raw, two_clouds.work)}
    assert again["recording"].state == "same"
    assert again["recording"].message == "it was uploaded again with the same content"
