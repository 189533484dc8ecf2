"""A finished dataset of three channels, and what is done to it and to the hub."""

import json
import shutil
from pathlib import Path

import pytest

from voice_assets_tests.core.corpus.small_corpus import Corpus, make_lines
from voice_assets_tests.servers.s3 import S3Server
from voice_core.publish.publish import PublishResult, publish
from voice_core.storage.store import Store

REPO = "team/voices"
CHANNELS = ("news", "أخبار 50%", "talk")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The client calls its own HTTP library in a way that this one deprecates: it cannot be changed here."""
    here = Path(__file__).parent
    for item in items:
        if item.path.is_relative_to(here):
            item.add_marker(pytest.mark.filterwarnings("ignore:Use 'content=<...>' to upload:DeprecationWarning"))


class PublishedCorpus(Corpus):
    """A corpus with a place at the hub."""

    def publish(self, **options: bool) -> PublishResult:
        return publish(self.work, self.settings, **options)

    def correct_transcript(self, channel: str = "news", **changes: str) -> None:
        """Correct the first line of a recording, and build."""
        lines = make_lines(8, f"one of {channel}")
        lines[0] |= changes
        self.write_transcript("one", lines, channel=channel)
        self.build()

    def published_paths(self) -> set[str]:
        """What the hub should hold of the dataset."""
        commit = json.loads(self.path("datasets/voice/dataset.json").read_text("utf-8"))
        rows = {item["key"].removeprefix("datasets/voice/") for item in commit["files"]}
        return rows | {"README.md", "dataset.json", "figures/durations.png"}


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The finished dataset, never written to."""
    folder = tmp_path_factory.mktemp("published")
    corpus = Corpus(folder)
    corpus.set(split={"test_fraction": 0.0})
    for channel in CHANNELS:
        corpus.add_recording("one", 8, make_lines(8, f"one of {channel}"), channel=channel, seed=len(channel))
        corpus.add_recording("two", 6, make_lines(6, f"two of {channel}"), channel=channel, seed=len(channel) + 90)
    corpus.build()
    return folder


@pytest.fixture
def corpus(built: Path, tmp_path: Path) -> PublishedCorpus:
    """A copy of it, to do things to."""
    (tmp_path / "corpus").mkdir()
    corpus = PublishedCorpus(tmp_path / "corpus")
    shutil.copytree(built / "raw", corpus.raw_dir, dirs_exist_ok=True)
    shutil.copytree(built / "work", corpus.work_dir)
    corpus.set(hub={"repo_id": REPO}, split={"test_fraction": 0.0})
    return corpus


@pytest.fixture
def remote(corpus: PublishedCorpus, s3_server: S3Server) -> Store:
    """The same work root in a bucket."""
    store = Store(s3_server.new_bucket(), s3_server.access())
    store.put_many({key: corpus.path(key).read_bytes() for key in corpus.files()})
    return store
