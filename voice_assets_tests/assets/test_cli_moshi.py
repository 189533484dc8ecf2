"""`voice moshi build`, as a person runs it."""

import json
import re
import signal
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile

from voice_assets_tests.command_server import run_voice, start_voice
from voice_assets_tests.files import files_below
from voice_core.moshi.shard_manifest import dialogue_partition, read_shard_manifest
from voice_core.storage.distributed_lock import hold_lock
from voice_core.storage.store import Store

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
    return ["moshi", "build", *names, *flags]


def run(script: Path, work: Path, *flags: str, code: int = 0, own_workers: bool = False, **variables: str) -> str:
    """Run the command; in one process unless its flags say how many workers, or it is left to choose."""
    if not own_workers:
        variables = {"VOICE_WORKERS": "1", **variables}
        if not any(flag.startswith(("--worker", "--model-dir", "--engine")) for flag in flags):
            flags = (*flags, "--worker-count", "0")
    done = run_voice(*command(script, work, *flags), **variables)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


def counted(told: str, row: str) -> int:
    """The dialogues of a row of the table."""
    found = re.search(rf"│ {row} +│ +([0-9]+) │", told)
    assert found, told
    return int(found[1])


def made(work: Path) -> dict[str, bytes]:
    return {key: data for key, data in files_below(work).items() if not key.startswith("locks/")}


@pytest.mark.slow
def test_serial_thread_and_process_workers_give_the_same_bytes(script: Path, tmp_path: Path) -> None:
    script.write_text("".join(script.read_text("utf-8").splitlines(keepends=True)[:4]), "utf-8")  # it is built thrice
    told = run(script, tmp_path / "serial", "--worker-count", "0")
    assert re.search(r"12 utterances synthesised in .*; voices measured: 2", told)
    run(script, tmp_path / "thread", "--worker-backend", "thread", "--worker-count", "2", own_workers=True)
    process = ("--worker-backend", "process", "--worker-count", "2", "--planner-buffer", "3")
    run(script, tmp_path / "process", *process, own_workers=True)
    serial = made(tmp_path / "serial")
    assert made(tmp_path / "thread") == serial
    assert made(tmp_path / "process") == serial
    told = run(script, tmp_path / "serial", "--resume")
    assert "0 utterances synthesised" in told
    assert "voices measured" not in told
    assert made(tmp_path / "serial") == serial


def test_a_killed_build_resumes_and_ends_in_the_same_bytes(script: Path, tmp_path: Path) -> None:
    run(script, tmp_path / "whole", own_workers=True)
    work = tmp_path / "killed"
    for files in (0, 1, 3):  # when so many dialogues were written; 0: when it has begun on the batch
        killed_in_the_middle(script, work, files)
    run(script, work, "--resume")
    assert made(work) == made(tmp_path / "whole")


def killed_in_the_middle(script: Path, work: Path, files: int) -> None:
    folder = work / "moshi" / "talks" / "batch-0001"
    before = {path: path.stat().st_mtime_ns for path in folder.glob("*")}
    process = start_voice(*command(script, work, "--worker-count", "0"))
    while process.poll() is None:
        written = [path.suffix for path in folder.glob("*") if times(path) not in (None, before.get(path))]
        if ".parquet" in written and written.count(".wav") >= files:
            process.kill()
        time.sleep(0.002)
    assert process.returncode == -signal.SIGKILL
    half = read_shard_manifest(Store(work.as_uri()), dialogue_partition("talks", 1))
    assert half is not None
    assert not half.complete, "it was struck before its end"


def times(path: Path) -> int | None:
    try:
        return path.stat().st_mtime_ns
    except FileNotFoundError:  # renamed meanwhile
        return None


def test_channels_begin_together_only_in_the_first_tools_layout(script: Path, tmp_path: Path) -> None:
    run(script, tmp_path / "turns", "--mock-inference", "--max-samples", "2")
    run(script, tmp_path / "legacy", "--mock-inference", "--max-samples", "2", "--legacy-io")
    for work, together in ((tmp_path / "turns", False), (tmp_path / "legacy", True)):
        folder = work / "moshi" / "talks"
        assert len((folder / "talks.jsonl").read_text("utf-8").splitlines()) == 2
        sound, _ = soundfile.read(folder / "batch-0001" / "short.wav", dtype="int16")
        heard = [np.flatnonzero(np.abs(channel) > 300)[0] / 24_000 for channel in sound.T]
        assert (abs(heard[0] - heard[1]) < 0.3) == together


def test_a_bad_line_is_reported_and_only_that_line_is_left_out(script: Path, tmp_path: Path) -> None:
    with script.open("a", encoding="utf-8") as file:
        file.write('{"id": "short", "user_text": "x", "assistant_text": "y"}\n{"id": "none"}\n{broken\n')
    told = run(script, tmp_path / "work", "--mock-inference")
    for part in ("talks.jsonl, line 9", "duplicate_id", "talks.jsonl, line 10", "talks.jsonl, line 11"):
        assert part in told
    assert counted(told, "train") == 8
    assert counted(told, "left out: duplicate_id") == 1


def test_a_dialogue_that_cannot_be_spoken_is_reported_once_with_its_text(script: Path, tmp_path: Path) -> None:
    bad = {"id": "bad", "user_text": "Hello.", "assistant_text": "\u4f60\u597d"}
    script.write_text(json.dumps(bad) + "\n", "utf-8")
    told = run(script, tmp_path / "work", code=1)
    assert "no dialogue was synthesised" in told
    with script.open("a", encoding="utf-8") as file:
        file.write(json.dumps(LINES[0]) + "\n" + json.dumps({"id": "x", "turns": "[laughs] [/INST]"}) + "\n")
    told = run(script, tmp_path / "work")
    assert "turns must be a list, not '[laughs] [/INST]'" in told
    assert counted(told, "left out: speech_refused") == counted(told, "left out: wrong_type") == 1
    assert "other_turn_failed" not in told


def test_a_misspelt_voice_touches_nothing(script: Path, tmp_path: Path) -> None:
    run(script, tmp_path / "work", "--max-samples", "2")
    before = made(tmp_path / "work")
    told = run(script, tmp_path / "work", "--user-spk-prompt", "haert", code=2)
    assert "moshi.user_voice is 'haert': hibari has no such voice; it has heart" in told
    assert made(tmp_path / "work") == before


def test_a_part_or_another_file_takes_nothing_from_a_data_set(script: Path, tmp_path: Path) -> None:
    work = tmp_path / "work"
    run(script, work, "--mock-inference")
    before = made(work)
    assert "lack 6 of them" in run(script, work, "--mock-inference", "--max-samples", "2", code=2)
    other = tmp_path / "other.jsonl"
    other.write_text(json.dumps(LINES[0] | {"assistant_text": "Another one."}) + "\n", "utf-8")
    assert "--replace-input" in run(other, work, "--mock-inference", code=2)
    assert made(work) == before
    told = run(other, work, "--mock-inference", "--replace-input")
    assert "7 dialogues that the input no longer has" in told
    assert counted(told, "train") == 1


def test_the_seed_0_overrules_another(script: Path, tmp_path: Path) -> None:
    run(script, tmp_path, "--mock-inference", "--max-samples", "1", "--seed", "0", VOICE_MOSHI__SEED="5")
    manifest = read_shard_manifest(Store(tmp_path.as_uri()), dialogue_partition("talks", 1))
    assert manifest is not None
    assert manifest.parameters["seed"] == 0


def test_progress_in_json_is_nothing_but_json(script: Path, tmp_path: Path) -> None:
    """Not even when it waits for somebody else, which is logged, too."""
    dealt = tmp_path / "work" / "dialogues" / "talks" / "batch-0001.jsonl"
    work = Store((tmp_path / "work").as_uri(), create=True)
    with hold_lock(work, "moshi talks/batch-0001"):
        flags = ("--mock-inference", "--log-json")
        # An evaluation set would have something to say.
        process = start_voice(*command(script, tmp_path / "work", *flags), VOICE_MOSHI__EVAL_FRACTION="0")
        while not dealt.exists() and process.poll() is None:
            time.sleep(0.05)
        time.sleep(1.0)
    told = process.communicate()[1]
    assert process.returncode == 0
    assert [json.loads(line)["utterances"] for line in told.splitlines()][-1] == 28 + 6, "and two voices' sentences"


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--no-sampling"], "do_sample is forced on"),
        (["--no-dedup"], "ids are file names"),
        (["--manifest-buffer-size", "64"], "nothing to buffer"),
        (["--engine", "hibari", "--mock-inference"], "--mock-inference means --engine noise"),
        (["--worker-backend", "serial", "--worker-count", "4"], "--worker-backend serial means one engine"),
        (["--worker-backend", "process", "--worker-count", "0"], "--worker-count 0 means one engine in this thread"),
        (["--use-fp16", "--device", "cuda"], "--device, --use-fp16: supported by IndexTTS2 only, and the engine"),
        (["--mock-inference", "--model-dir", "x"], "--model-dir: supported by IndexTTS2 only, and the engine is noise"),
        (["--engine", "festival"], "known: hibari, indextts2, noise"),
        (["--model-dir", "nowhere", "--deterministic"], "--deterministic: the speech of indextts2 may differ"),
    ],
)
def test_an_unsupported_flag_is_refused_with_the_reason(
    script: Path, tmp_path: Path, flags: list[str], message: str
) -> None:
    assert message in run(script, tmp_path / "work", *flags, code=2)


def test_without_a_file_it_says_what_to_name(tmp_path: Path) -> None:
    assert "the file does not exist" in run(tmp_path / "gone.jsonl", tmp_path / "work", code=2)


def test_each_utterance_can_be_exported_to_its_own_file(script: Path, tmp_path: Path) -> None:
    folder = tmp_path / "work" / "moshi_mono" / "talks" / "batch-0001"
    folder.mkdir(parents=True)
    (folder / "gone_turn_0_user.wav").write_bytes(b"of a dialogue that is no more")
    run(script, tmp_path / "work", "--mock-inference", "--max-samples", "1", "--keep-temp")
    kept = sorted(path.name for path in folder.iterdir())
    assert kept == ["short_turn_0_user.wav", "short_turn_1_assistant.wav"]


def test_a_batch_whose_utterances_cannot_be_exported_is_reported_last(script: Path, tmp_path: Path) -> None:
    """A file that was cut off by somebody else after the batch was finished, and is as large as it was."""
    run(script, tmp_path / "work", "--mock-inference", VOICE_MOSHI__BATCH_DIALOGUES="4")
    path = tmp_path / "work" / "moshi" / "talks" / "batch-0001" / "short.wav"
    path.write_bytes(b"?" * path.stat().st_size)
    told = run(script, tmp_path / "work", "--mock-inference", "--keep-temp", code=1)
    assert counted(told, "train") == 8
    assert "--keep-temp of talks/batch-0001" in told
    assert (tmp_path / "work" / "moshi_mono" / "talks" / "batch-0002").is_dir()
