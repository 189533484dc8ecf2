from pathlib import Path

import pytest

from voice_assets_tests.core.moshi.conftest import ShardBuilder


@pytest.fixture
def workshop(tmp_path: Path) -> ShardBuilder:
    return ShardBuilder(tmp_path / "work")
