"""Every test here gets settings of its own: no variable and no voice.toml of the machine reaches it."""

import os
from pathlib import Path

import pytest

from voice_assets_tests.core.corpus.segment_cache import Cache
from voice_assets_tests.core.corpus.world import World


@pytest.fixture(autouse=True)
def _own_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in os.environ:
        if name.startswith("VOICE_"):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


@pytest.fixture
def two(world: World) -> World:
    """With two recordings of three lines each."""
    world.record("a")
    world.record("b", extension=".flac")
    return world


@pytest.fixture
def cache(world: World, tmp_path: Path) -> Cache:
    return Cache(world, tmp_path / "segments_cache")
