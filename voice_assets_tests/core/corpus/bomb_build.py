"""Build a raw bucket with decompression bombs and valid recordings in a separate process."""

from collections.abc import Callable, Mapping
from pathlib import Path

from voice_assets_tests.bombs import run_measured
from voice_assets_tests.core.corpus.small_corpus import Corpus

_BUILD = """
import sys
from pathlib import Path
from voice_assets_tests.core.corpus.small_corpus import Corpus
from voice_core.settings import Settings
corpus = Corpus.__new__(Corpus)
corpus.settings = Settings(raw_url=sys.argv[1], work_url=sys.argv[2], workers=1)
corpus.segment()
"""


def build_with_bombs(corpus: Corpus, bombs: Mapping[str, Callable[[Path], None]]) -> int:
    """Add recordings `a` and `b` and the bombs, and cut; returns the peak memory in MiB."""
    for name in "ab":
        corpus.add_recording(name)
    for name, make in bombs.items():
        path = corpus.raw_dir / "news" / name
        make(path)
        corpus.write_transcript(
            path.stem, [{"start": 0.2, "end": 1.8, "text": "A line of a bomb.", "speaker_id": "s1"}]
        )
    _, peak_mb = run_measured(_BUILD, corpus.settings.raw_url, corpus.settings.work_url)
    return peak_mb
