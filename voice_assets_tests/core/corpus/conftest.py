from pathlib import Path

import pytest

from voice_assets_tests.core.corpus.adopt.segment_cache import SegmentCache
from voice_assets_tests.core.corpus.small_corpus import Corpus


@pytest.fixture
def corpus(tmp_path: Path) -> Corpus:
    return Corpus(tmp_path)


@pytest.fixture
def two_recordings(corpus: Corpus) -> Corpus:
    """With two recordings of three lines each."""
    corpus.add_recording("a")
    corpus.add_recording("b", extension=".flac")
    return corpus


@pytest.fixture
def cache(corpus: Corpus, tmp_path: Path) -> SegmentCache:
    return SegmentCache(corpus, tmp_path / "segments_cache")
