"""Source and target stores."""

from pathlib import Path

import pytest

from voice_assets_tests.core.storage.copying.copy_helpers import local_store
from voice_assets_tests.servers.s3 import S3Server
from voice_core.storage.store import Store


@pytest.fixture
def source_store(tmp_path: Path) -> Store:
    return local_store(tmp_path / "source_store")


@pytest.fixture
def target_store(tmp_path: Path) -> Store:
    return local_store(tmp_path / "target_store")


@pytest.fixture
def bucket(s3_server: S3Server) -> Store:
    return Store(s3_server.new_bucket() + "/stage1", s3_server.access())
