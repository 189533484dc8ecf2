"""A build on S3 is stopped at a random moment for longer than its claim lasts; another one takes over and finishes; the
first continues. Both see another transcript, so what a former holder still writes is not what was committed."""

import dataclasses
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from voice_assets_tests.core.corpus.small_corpus import Corpus
from voice_assets_tests.files import files_below
from voice_assets_tests.processes import kill_process_group
from voice_assets_tests.servers.s3 import s3_server
from voice_assets_tests.soak.deployments import Deployment, create_s3_deployment
from voice_assets_tests.soak.paused_build import (
    SHORT_CLAIMS,
    continue_group,
    stop_group,
    wait_for_process,
)
from voice_assets_tests.soak.soak_result import SoakResult
from voice_core.storage.store import Store

NAME = "stopped past its claim, s3"
ROUNDS = 10
_BUILD = f"{SHORT_CLAIMS} from voice_assets.cli import main; main()"
_LOST = "lost the lock on"
_REPLACED = "another build has committed a newer result since"  # it was stopped between its commit and its checks


def run(folder: Path, rounds: int, progress: Callable[[str], None]) -> list[SoakResult]:
    started = time.monotonic()
    corpus = Corpus(folder)
    dice = random.Random(7)
    wrong = lost = 0
    with s3_server() as s3:
        _record(corpus, corrected=True)
        first = create_s3_deployment(folder / "first", corpus.raw_dir, s3)
        second = _on_another_machine(first, folder / "second")
        began = time.monotonic()
        _end(_start(second))
        longest_sec = time.monotonic() - began
        wanted = first.files()
        for number in range(rounds):
            first.empty()
            after_sec = dice.uniform(0.0, longest_sec)
            faults, said = _round(first, second, corpus, wanted, after_sec)
            lost += _LOST in said
            wrong += bool(faults)
            end = "lost the lock" if _LOST in said else "finished"
            progress(
                f"{number + 1:4d}  stopped after {after_sec:4.1f} s: {end}; {'; '.join(faults) or 'the same bytes'}"
            )
    note = f"{lost} lost their claim"
    return [SoakResult(NAME, rounds, rounds, wrong, time.monotonic() - started, note)]


def _round(
    first: Deployment, second: Deployment, corpus: Corpus, wanted: dict[str, bytes], after_sec: float
) -> tuple[list[str], str]:
    """What is wrong afterwards, and what the build said that was stopped."""
    _record(corpus, corrected=False)
    _upload(first, corpus)
    build = _start(first)
    try:
        wait_for_process(lambda: next(iter(first.work().listing()), None) is not None, build)
        time.sleep(after_sec)
        stop_group(build.pid)
        _record(corpus, corrected=True)
        _upload(first, corpus)
        _end(_start(second))
        continue_group(build.pid)
        said, _ = build.communicate(timeout=300)
    finally:
        kill_process_group(build.pid)
        build.communicate()
    faults = []
    told_why = _LOST in said or _REPLACED in said
    if build.returncode != 0 and not (build.returncode == 1 and told_why):
        faults.append(f"exit code {build.returncode}: {said}")
    if "Traceback" in said:
        faults.append(f"a traceback: {said}")
    found = first.files()
    differing = sorted(key for key in wanted.keys() | found.keys() if wanted.get(key) != found.get(key))
    if differing:
        faults.append(f"other bytes: {differing}")
    try:
        second.run("audit")
    except AssertionError as error:
        faults.append(f"audit: {error}")
    return faults, said


def _record(corpus: Corpus, *, corrected: bool) -> None:
    for name in "abcdefgh":
        lines = corpus.add_recording(name, 10.0, speaker_id=name)
        if corrected:
            for line in lines:
                line["text"] = f"Corrected: {line['text']}"
                line["end"] -= 0.1
        corpus.write_transcript(name, lines)


def _upload(deployment: Deployment, corpus: Corpus) -> None:
    Store(deployment.raw_url, deployment.work_access).put_many(files_below(corpus.raw_dir))


def _on_another_machine(deployment: Deployment, home: Path) -> Deployment:
    """The same buckets, with a Dagster instance of its own."""
    home.mkdir()
    shutil.copytree(deployment.home / "dagster_home", home / "dagster_home")
    own = {"VOICE_LOCAL_DIR": str(home / "scratch"), "DAGSTER_HOME": str(home / "dagster_home")}
    return dataclasses.replace(deployment, home=home, environment={**deployment.environment, **own})


def _start(deployment: Deployment) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-c", _BUILD, "build"],
        cwd=deployment.home,
        env={**deployment.variables(), "VOICE_WORKERS": "2", "COLUMNS": "1000"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def _end(build: "subprocess.Popen[str]") -> None:
    said, _ = build.communicate(timeout=300)
    if build.returncode:
        raise AssertionError(said)
