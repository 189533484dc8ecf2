"""What `voice moshi build` tells a person of their scripts, beyond what it made of them."""

import json
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from voice_assets.cli import app

TALK = {"id": "talk", "user_text": "Is the boat back?", "assistant_text": "Yes, since this morning."}


def build(folder: Path, text: str, *flags: str) -> Result:
    (folder / "talks.jsonl").write_text(text, "utf-8")
    names = ["--input-jsonl", str(folder / "talks.jsonl"), "--output-root", str(folder / "work"), *flags]
    return CliRunner().invoke(app, ["moshi", "build", "--worker-count", "0", *names])


def told(done: Result) -> str:
    assert done.exit_code == 0, done.output
    return " ".join(done.output.split())


def test_a_file_without_one_dialogue_is_named_with_what_is_wrong_in_it(tmp_path: Path) -> None:
    done = build(tmp_path, json.dumps([TALK], indent=1))
    assert "there is no valid dialogue in file://" in str(done.exception)
    assert "talks.jsonl; the batches of dialogues stay as they are" in str(done.exception)
    assert "talks.jsonl, line 1: not JSON at column 2: Expecting value" in str(done.exception)
    assert "*.jsonl and *.ndjson are read" in str(build(tmp_path, "").exception)
    folder = CliRunner().invoke(app, ["moshi", "build", "--input-jsonl", str(tmp_path)])
    assert "is a folder: set VOICE_MOSHI__SCRIPTS_URL" in str(folder.exception)


def test_turns_are_counted_from_1_as_in_messages_about_lines(tmp_path: Path) -> None:
    turns = [{"role": "user", "text": "Hello."}, {"role": "assistant", "text": "Hm.", "voice": "nobody"}]
    bad = {"id": "line", "turns": [*turns[:1], {"role": "assistant"}]}
    lines = [TALK, {"id": "voice", "turns": turns}, bad]
    shown = told(build(tmp_path, "".join(json.dumps(line) + "\n" for line in lines)))
    assert "voice, turn 2: hibari has no voice 'nobody'" in shown
    assert "line 3: the text of turn 2" in shown


def test_approximate_word_times_are_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "are approximate" not in told(build(tmp_path, json.dumps(TALK)))
    monkeypatch.setitem(sys.modules, "pocketsphinx", None)
    monkeypatch.setattr("voice_assets.cli.moshi_tables.find_spec", lambda name: None)
    shown = told(build(tmp_path, json.dumps(TALK), "--dataset-name", "rough"))
    assert "word times of 2 of 2 turns are approximate: for exact ones, pip install" in shown


def test_an_unsupported_emotion_is_reported(tmp_path: Path) -> None:
    turns = [{"role": "user", "text": "Hello."}, {"role": "assistant", "text": "Not yet.", "emotion": "sad"}]
    shown = told(build(tmp_path, json.dumps({"id": "talk", "turns": turns})))
    assert "1 turn with an emotion: hibari does not support emotions" in shown
