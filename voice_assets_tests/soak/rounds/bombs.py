"""Files that claim or unpack to far more than they are, each among valid recordings, with the peak of memory."""

import time
from collections.abc import Callable
from pathlib import Path

from voice_assets_tests.bombs import AUDIO_BOMBS
from voice_assets_tests.core.corpus.bomb_build import build_with_bombs
from voice_assets_tests.core.corpus.small_corpus import Corpus
from voice_assets_tests.soak.soak_result import SoakResult

NAME = "bombs: peak of memory below 1 GiB, the recordings beside them are cut"
ROUNDS = 1
MAX_MB = 1_024


def run(folder: Path, rounds: int, progress: Callable[[str], None]) -> list[SoakResult]:
    outcomes: list[SoakResult] = []
    for name, make in AUDIO_BOMBS.items():
        started = time.monotonic()
        peaks: list[int] = []
        wrong = 0
        for number in range(rounds):
            round_dir = folder / f"{name}-{number}"
            round_dir.mkdir()
            corpus = Corpus(round_dir)
            peaks.append(build_with_bombs(corpus, {name: make}))
            kept = {entry.audio_id for entry in corpus.segments().kept()}
            wrong += peaks[-1] >= MAX_MB or not kept >= {"a", "b"}
            progress(f"{name}: {peaks[-1]} MiB")
        outcomes.append(
            SoakResult(f"bomb {name}", rounds, rounds, wrong, time.monotonic() - started, f"peak {max(peaks)} MiB")
        )
    return outcomes
