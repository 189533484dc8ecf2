from pathlib import Path

import pytest

from voice_assets_tests.core.corpus.adopt.segment_cache import Cache
from voice_assets_tests.core.corpus.small_corpus import World


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
