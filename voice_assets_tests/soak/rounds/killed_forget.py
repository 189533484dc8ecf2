"""`voice forget` killed at any moment and repeated: nothing of it is left, and all else is as undisturbed."""

import dataclasses
import random
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import datasets

from voice_assets_tests.core.corpus.forget.leftovers import find_leftovers
from voice_assets_tests.core.corpus.small_corpus import Corpus, make_lines
from voice_assets_tests.soak.deployments import Deployment, create_file_deployment
from voice_assets_tests.soak.kill_loop import ends_within
from voice_assets_tests.soak.soak_result import SoakResult

NAME = "voice forget, killed -9 and repeated"
ROUNDS = 30
FORGOTTEN, MARK = "number-two", "Xylophone"
_ATTEMPTS = 10


def run(folder: Path, rounds: int, progress: Callable[[str], None]) -> list[SoakResult]:
    """Each round kills the command at random moments until it comes to its end, in a copy of a built work root."""
    started = time.monotonic()
    built = _built(folder / "built")
    wanted, longest_sec = _undisturbed(built, folder / "undisturbed")
    dice = random.Random(7)
    kills = differing = 0
    for number in range(1, rounds + 1):
        deployment = _copy(built, folder / str(number))
        killed = _forget(deployment, dice, longest_sec)
        kills += killed
        problems = _problems(deployment, wanted)
        differing += bool(problems)
        progress(
            f"{number:4d}  killed {killed} times: {'; '.join(problems) or 'nothing is left, the rest as undisturbed'}"
        )
        shutil.rmtree(deployment.home)
    return [SoakResult(NAME, rounds, rounds, differing, time.monotonic() - started, f"{kills} kills")]


def _built(home: Path) -> Deployment:
    """Two datasets of three recordings, one of which is to be forgotten, and what `datasets` cached of them."""
    home.mkdir()
    corpus = Corpus(home)
    for name in ("number-one", FORGOTTEN, "number-three"):
        lines = make_lines(8, name)
        if name == FORGOTTEN:
            lines = [line | {"text": f"{MARK} {line['text']}", "tone": f"{MARK} tone"} for line in lines]
        corpus.add_recording(name, 8, lines)
    deployment = create_file_deployment(home, corpus.raw_dir)
    other = dataclasses.replace(deployment, environment={**deployment.environment, "VOICE_DATASET": "other"})
    for one, dataset in ((deployment, "voice"), (other, "other")):
        one.run("build")
        assert any(MARK in text for text in _texts(deployment, dataset))
    return deployment


def _copy(built: Deployment, home: Path) -> Deployment:
    """The same recordings, so that they keep their identity, and a copy of all that was made."""
    deployment = create_file_deployment(home, built.home / "raw")
    for name in ("work", "hf"):
        shutil.copytree(built.home / name, home / name)
    return deployment


def _undisturbed(built: Deployment, home: Path) -> tuple[dict[str, bytes], float]:
    deployment = _copy(built, home)
    started = time.monotonic()
    deployment.run("forget", FORGOTTEN, "--yes")
    wall_sec = time.monotonic() - started
    assert _problems(deployment, {}) == []
    return _content(deployment), wall_sec


def _forget(deployment: Deployment, dice: random.Random, longest_sec: float) -> int:
    """Run the command until it ends by itself; returns how often it was killed."""
    for attempt in range(_ATTEMPTS):
        process = deployment.start("forget", FORGOTTEN, "--yes")
        if ends_within(process, dice.uniform(0.5, longest_sec)):
            return attempt
    deployment.run("forget", FORGOTTEN, "--yes")
    return _ATTEMPTS


def _content(deployment: Deployment) -> dict[str, bytes]:
    """All but what says when, or what a store calls a raw object."""
    return deployment.files("tombstones/", "batches/")


def _problems(deployment: Deployment, wanted: dict[str, bytes]) -> list[str]:
    problems = [f"left in {key}" for key in find_leftovers(deployment.home / "work", FORGOTTEN, MARK)]
    for dataset in ("voice", "other"):
        if any(MARK in text for text in _texts(deployment, dataset)):
            problems.append(f"load_dataset returns its rows of {dataset}")
    problems += [f"left over: {name}" for name in deployment.leftovers()]
    if wanted:
        found = _content(deployment)
        problems += [
            f"other bytes: {key}" for key in sorted(wanted.keys() | found) if wanted.get(key) != found.get(key)
        ]
    return problems


def _texts(deployment: Deployment, dataset: str) -> list[str]:
    """As a trainer loads them, with the cache of earlier loads."""
    datasets.disable_progress_bars()
    folder = str(deployment.home / "work" / "datasets" / dataset)
    rows = datasets.load_dataset(folder, "full", cache_dir=str(deployment.home / "hf"))
    return [text for split in rows.values() for text in split.select_columns(["text"])["text"]]
