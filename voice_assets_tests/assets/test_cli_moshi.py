"""`voice moshi build`, as a person runs it."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile

from voice_assets_tests.assets.conftest import files_below

LINES = [
    {"id": "short", "user_text": "Is the boat back?", "assistant_text": "Yes, since this morning."},
    {"sample_id": "older", "user": "Where is the captain?", "assistant": "On the bridge, I think."},
    *(
        {
            "id": f"d{number}",
            "turns": [
                {"role": "user", "text": f"Tell me about the ship that lies at pier {number}."},
                {"role": "assistant", "text": "She carries timber, and sails for the north tomorrow."},
                {"role": "user", "text": "I see."},
                {"role": "assistant", "text": "Would you like to come aboard?", "pause_before_sec": 0.5},
            ],
        }
        for number in range(6)
    ),
]


@pytest.fixture
def script(tmp_path: Path) -> Path:
    path = tmp_path / "talks.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in LINES), "utf-8")
    return path


def command(script: Path, work: Path, *flags: str) -> list[str]:
    names = ["--input-jsonl", str(script), "--output-root", str(work), "--dataset-name", "talks"]
    return [sys.executable, "-c", "from voice_assets.cli import main; main()", "moshi", "build", *names, *flags]


def run(script: Path, work: Path, *flags: str, code: int = 0) -> str:
    done = subprocess.run(
        command(script, work, *flags),
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "COLUMNS": "200"},
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


def made(work: Path) -> dict[str, bytes]:
    return {key: data for key, data in files_below(work).items() if not key.startswith("locks/")}


def test_serial_thread_and_process_workers_give_the_same_bytes(script: Path, tmp_path: Path) -> None:
    told = run(script, tmp_path / "serial", "--worker-count", "0")
    assert "28 utterances spoken" in told
    run(script, tmp_path / "thread", "--worker-backend", "thread", "--worker-count", "2")
    run(script, tmp_path / "process", "--worker-backend", "process", "--worker-count", "2", "--planner-buffer", "3")
    serial = made(tmp_path / "serial")
    assert made(tmp_path / "thread") == serial
    assert made(tmp_path / "process") == serial
    assert "0 utterances spoken" in run(script, tmp_path / "serial", "--resume")
    assert made(tmp_path / "serial") == serial


def test_a_build_that_is_killed_goes_on_and_ends_in_the_same_bytes(script: Path, tmp_path: Path) -> None:
    run(script, tmp_path / "whole")
    for _ in range(3):
        process = subprocess.Popen(
            command(script, tmp_path / "killed"), stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        time.sleep(random.uniform(1.0, 4.0))
        process.send_signal(signal.SIGKILL)
        process.wait()
    run(script, tmp_path / "killed", "--resume")
    assert made(tmp_path / "killed") == made(tmp_path / "whole")


def test_channels_begin_together_only_in_the_first_tools_layout(script: Path, tmp_path: Path) -> None:
    run(script, tmp_path / "turns", "--mock-inference", "--max-samples", "2")
    run(script, tmp_path / "legacy", "--mock-inference", "--max-samples", "2", "--legacy-io")
    for work, together in ((tmp_path / "turns", False), (tmp_path / "legacy", True)):
        folder = work / "moshi" / "talks"
        assert len((folder / "talks.jsonl").read_text("utf-8").splitlines()) == 2
        sound, _ = soundfile.read(folder / "batch-0001" / "short.wav", dtype="int16")
        heard = [np.flatnonzero(np.abs(channel) > 300)[0] / 24_000 for channel in sound.T]
        assert (abs(heard[0] - heard[1]) < 0.3) == together


def test_what_is_wrong_with_a_line_is_told_and_costs_that_line(script: Path, tmp_path: Path) -> None:
    with script.open("a", encoding="utf-8") as file:
        file.write('{"id": "short", "user_text": "x", "assistant_text": "y"}\n{"id": "none"}\n{broken\n')
    told = run(script, tmp_path / "work", "--mock-inference")
    for part in ("talks.jsonl, line 9", "duplicate_id", "talks.jsonl, line 10", "talks.jsonl, line 11"):
        assert part in told
    assert "8" in told


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--no-sampling"], "do_sample is forced on"),
        (["--no-dedup"], "ids name files"),
        (["--manifest-buffer-size", "64"], "nothing to buffer"),
        (["--engine", "festival"], "known engines: hibari, indextts2, noise"),
        (["--model-dir", "nowhere", "--deterministic"], "--deterministic forbids it"),
    ],
)
def test_a_flag_that_cannot_be_is_refused_with_the_reason(
    script: Path, tmp_path: Path, flags: list[str], message: str
) -> None:
    assert message in run(script, tmp_path / "work", *flags, code=2)


def test_without_a_file_it_says_what_to_name(tmp_path: Path) -> None:
    assert "there is no such file" in run(tmp_path / "gone.jsonl", tmp_path / "work", code=2)


def test_each_utterance_can_be_kept_by_itself(script: Path, tmp_path: Path) -> None:
    run(script, tmp_path / "work", "--mock-inference", "--max-samples", "1", "--keep-temp")
    kept = sorted(path.name for path in (tmp_path / "work" / "moshi_mono" / "talks" / "batch-0001").iterdir())
    assert kept == ["short_turn_0_user.wav", "short_turn_1_assistant.wav"]
