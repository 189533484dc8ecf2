"""A finished dataset of three channels, and what is done to it and to the hub."""

import json
import shutil
from pathlib import Path

import pytest

from voice_assets_tests.core.corpus.small_corpus import World, lines_for
from voice_core.publish.publish import Publication, publish

REPO = "team/voices"
CHANNELS = ("news", "أخبار 50%", "talk")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The client calls its own HTTP library in a way that this one deprecates: nothing that we can mend."""
    here = Path(__file__).parent
    for item in items:
        if item.path.is_relative_to(here):
            item.add_marker(pytest.mark.filterwarnings("ignore:Use 'content=<...>' to upload:DeprecationWarning"))


class PublishedWorld(World):
    """A corpus with a place at the hub."""

    def push(self, **options: bool) -> Publication:
        return publish(self.work, self.settings, **options)

    def retell(self, channel: str = "news", **changes: str) -> None:
        """Correct the first line of a recording, and build."""
        lines = lines_for(8, f"one of {channel}")
        lines[0] |= changes
        self.transcribe("one", lines, channel=channel)
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
    world = World(folder)
    world.set(split={"test_fraction": 0.0})
    for channel in CHANNELS:
        world.record("one", 8, lines_for(8, f"one of {channel}"), channel=channel, seed=len(channel))
        world.record("two", 6, lines_for(6, f"two of {channel}"), channel=channel, seed=len(channel) + 90)
    world.build()
    return folder


@pytest.fixture
def world(built: Path, tmp_path: Path) -> PublishedWorld:
    """A copy of it, to do things to."""
    (tmp_path / "corpus").mkdir()
    world = PublishedWorld(tmp_path / "corpus")
    shutil.copytree(built / "raw", world.raw_dir, dirs_exist_ok=True)
    shutil.copytree(built / "work", world.work_dir)
    world.set(hub={"repo_id": REPO}, split={"test_fraction": 0.0})
    return world
