from pathlib import Path

import pytest

from voice_assets_tests.core.moshi.conftest import Workshop


@pytest.fixture
def workshop(tmp_path: Path) -> Workshop:
    return Workshop(tmp_path / "work")
