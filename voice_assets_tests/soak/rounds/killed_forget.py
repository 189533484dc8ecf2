"""`voice forget` killed at any moment and repeated: nothing of it is left, and all else is as undisturbed."""

import dataclasses
import random
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import datasets

from voice_assets_tests.core.corpus.forget.forgetting import traces
from voice_assets_tests.core.corpus.small_corpus import World, lines_for
from voice_assets_tests.soak.kill_loop import ends_within
from voice_assets_tests.soak.outcome import Outcome
from voice_assets_tests.soak.places import Place, file_place

NAME = "voice forget, killed -9 and repeated"
ROUNDS = 30
FORGOTTEN, MARK = "number-two", "Xylophone"
_ATTEMPTS = 10


def run(folder: Path, rounds: int, tell: Callable[[str], None]) -> list[Outcome]:
    """Each round kills the command at random moments until it comes to its end, in a copy of a built work root."""
    started = time.monotonic()
    built = _built(folder / "built")
    wanted, longest_sec = _undisturbed(built, folder / "undisturbed")
    dice = random.Random(7)
    kills = differing = 0
    for number in range(1, rounds + 1):
        place = _copy(built, folder / str(number))
        killed = _forget(place, dice, longest_sec)
        kills += killed
        problems = _problems(place, wanted)
        differing += bool(problems)
        tell(f"{number:4d}  killed {killed} times: {'; '.join(problems) or 'nothing is left, the rest as undisturbed'}")
        shutil.rmtree(place.home)
    return [Outcome(NAME, rounds, rounds, differing, time.monotonic() - started, f"{kills} kills")]


def _built(home: Path) -> Place:
    """Two datasets of three recordings, one of which is to be forgotten, and what `datasets` cached of them."""
    home.mkdir()
    world = World(home)
    for name in ("number-one", FORGOTTEN, "number-three"):
        lines = lines_for(8, name)
        if name == FORGOTTEN:
            lines = [line | {"text": f"{MARK} {line['text']}", "tone": f"{MARK} tone"} for line in lines]
        world.record(name, 8, lines)
    place = file_place(home, world.raw_dir)
    other = dataclasses.replace(place, environment={**place.environment, "VOICE_DATASET": "other"})
    for one, dataset in ((place, "voice"), (other, "other")):
        one.run("build")
        assert any(MARK in text for text in _texts(place, dataset))
    return place


def _copy(built: Place, home: Path) -> Place:
    """The same recordings, so that they keep their identity, and a copy of all that was made."""
    place = file_place(home, built.home / "raw")
    for name in ("work", "hf"):
        shutil.copytree(built.home / name, home / name)
    return place


def _undisturbed(built: Place, home: Path) -> tuple[dict[str, bytes], float]:
    place = _copy(built, home)
    started = time.monotonic()
    place.run("forget", FORGOTTEN, "--yes")
    wall_sec = time.monotonic() - started
    assert _problems(place, {}) == []
    return _content(place), wall_sec


def _forget(place: Place, dice: random.Random, longest_sec: float) -> int:
    """Run the command until it ends by itself; returns how often it was killed."""
    for attempt in range(_ATTEMPTS):
        process = place.start("forget", FORGOTTEN, "--yes")
        if ends_within(process, dice.uniform(0.5, longest_sec)):
            return attempt
    place.run("forget", FORGOTTEN, "--yes")
    return _ATTEMPTS


def _content(place: Place) -> dict[str, bytes]:
    """All but what says when, or what a store calls a raw object."""
    return place.files("tombstones/", "batches/")


def _problems(place: Place, wanted: dict[str, bytes]) -> list[str]:
    problems = [f"left in {key}" for key in traces(place.home / "work", FORGOTTEN, MARK)]
    for dataset in ("voice", "other"):
        if any(MARK in text for text in _texts(place, dataset)):
            problems.append(f"load_dataset returns its rows of {dataset}")
    problems += [f"left over: {name}" for name in place.leftovers()]
    if wanted:
        found = _content(place)
        problems += [
            f"other bytes: {key}" for key in sorted(wanted.keys() | found) if wanted.get(key) != found.get(key)
        ]
    return problems


def _texts(place: Place, dataset: str) -> list[str]:
    """As a trainer loads them, with the cache of earlier loads."""
    datasets.disable_progress_bars()
    folder = str(place.home / "work" / "datasets" / dataset)
    rows = datasets.load_dataset(folder, "full", cache_dir=str(place.home / "hf"))
    return [text for split in rows.values() for text in split.select_columns(["text"])["text"]]
