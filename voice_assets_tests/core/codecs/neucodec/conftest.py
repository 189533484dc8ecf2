from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from voice_assets_tests.core.codecs import original_neucodec as reference
from voice_assets_tests.core.codecs.neucodec.neucodec_helpers import make_codec
from voice_assets_tests.core.codecs.original_neucodec import SMALL
from voice_core.codecs.neucodec import NeuCodec


@pytest.fixture(scope="session")
def original() -> Any:
    return reference.build_original(SMALL)


@pytest.fixture(scope="session")
def checkpoint(original: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same weights as a folder in transformers' layout."""
    folder = tmp_path_factory.mktemp("neucodec")
    reference.to_transformers(original).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def codec(checkpoint: Path) -> NeuCodec:
    return make_codec(checkpoint)


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """Sums over frames come out in another order with two threads: both sides must have as many."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
