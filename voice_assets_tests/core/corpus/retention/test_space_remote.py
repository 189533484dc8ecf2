"""Freeing, making again and tracing where the recordings lie in one cloud and the work root in another."""

from pathlib import Path

import pytest

from voice_assets_tests.core.corpus.small_corpus import World, lines_for
from voice_assets_tests.servers.gcs import GcsServer
from voice_assets_tests.servers.s3 import S3Server
from voice_core.corpus.lineage.trace import trace
from voice_core.corpus.lineage.traces import verify
from voice_core.corpus.retention import evict
from voice_core.storage.store import Store


class Clouds(World):
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
def clouds(tmp_path: Path, gcs_server: GcsServer, s3_server: S3Server) -> Clouds:
    world = Clouds(tmp_path, gcs_server, s3_server)
    for name in "abc":
        lines = lines_for(6.0, name)
        lines[-1]["text"] = f"Far too long a text for {name} in such a short time. " * 3
        world.record(name, lines=lines)
    gcs_server.upload_folder(world.raw_url, world.raw_dir)
    world.build()
    return world


def test_freed_files_come_back_to_the_byte_from_the_clouds(clouds: Clouds) -> None:
    before = {key: clouds.work.hash(key) for stage in ("segments", "coded") for key in clouds.keys(stage)}
    assert len(before) == 9 + 6
    for plan in evict.plan_clean(clouds.work, clouds.status().partitions, ["segments", "coded"], clouds.settings):
        evict.free(clouds.work, plan, clouds.settings)
    assert clouds.keys("segments") | clouds.keys("coded") == set()
    assert clouds.status().finished
    encoded = clouds.codec.encoded
    clouds.set(rules={"max_chars_per_sec": 1000.0})
    clouds.build()
    assert clouds.codec.encoded == encoded + 3
    after = {key: clouds.work.hash(key) for stage in ("segments", "coded") for key in clouds.keys(stage)}
    assert {key: digest for key, digest in after.items() if key in before} == {
        key: digest for key, digest in before.items() if key in after
    }
    assert {key for key in after if key.startswith("segments/")} == {
        key for key in before if key.startswith("segments/") and key.endswith("_seg_2.npz")
    }
    assert {path.name for path in (clouds.raw_dir.parent / "scratch").iterdir()} == {"ledger.lock"}


def test_a_trace_names_the_generation_of_the_raw_object(clouds: Clouds) -> None:
    found = trace(clouds.work, clouds.settings, "news/b_seg_1")
    info = clouds.raw.head("news/b.wav")
    assert info is not None
    assert found.audio.version == info.version != ""
    assert {check.state for check in verify(found, clouds.raw, clouds.work)} == {"same"}
    clouds.gcs.upload(clouds.raw_url, {"news/b.wav": clouds.audio_path("b").read_bytes()})
    again = {check.what: check for check in verify(found, clouds.raw, clouds.work)}
    assert again["recording"].state == "same"
    assert again["recording"].message == "it was uploaded again since, with the same content"
