"""Files that claim or unpack to far more than they are, each beside sound recordings, with the peak of memory."""

import time
from collections.abc import Callable
from pathlib import Path

from voice_assets_tests.bombs import AUDIO_BOMBS
from voice_assets_tests.core.corpus.bombed import build_with_bombs
from voice_assets_tests.core.corpus.small_corpus import World
from voice_assets_tests.soak.outcome import Outcome

NAME = "bombs: peak of memory below 1 GiB, the recordings beside them are cut"
ROUNDS = 1
MAX_MB = 1_024


def run(folder: Path, rounds: int, tell: Callable[[str], None]) -> list[Outcome]:
    outcomes: list[Outcome] = []
    for name, make in AUDIO_BOMBS.items():
        started = time.monotonic()
        peaks: list[int] = []
        wrong = 0
        for number in range(rounds):
            place = folder / f"{name}-{number}"
            place.mkdir()
            world = World(place)
            peaks.append(build_with_bombs(world, {name: make}))
            kept = {entry.audio_id for entry in world.segments().kept()}
            wrong += peaks[-1] >= MAX_MB or not kept >= {"a", "b"}
            tell(f"{name}: {peaks[-1]} MiB")
        outcomes.append(
            Outcome(f"bomb {name}", rounds, rounds, wrong, time.monotonic() - started, f"peak {max(peaks)} MiB")
        )
    return outcomes
