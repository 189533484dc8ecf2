"""The `voice` command as a person or CI meets it."""

import json
import subprocess
import sys

from typer.testing import CliRunner

from voice_assets.cli import app
from voice_assets_tests.assets.conftest import BuiltCorpus
from voice_assets_tests.command_server import run_voice as _voice
from voice_core.settings import Settings


def _run_console_script(*arguments: str) -> subprocess.CompletedProcess[str]:
    """In an interpreter of its own, as the console script does."""
    command = [sys.executable, "-c", "from voice_assets.cli import main; main()", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)


def test_a_build_says_what_it_did_and_a_second_one_that_there_was_nothing_to_do(built_corpus: BuiltCorpus) -> None:
    built_corpus.edit_transcript("Atheer_-/atheer_0003.json", lambda lines: lines[1].update(text="Put right by hand."))
    first, second = _run_console_script("build"), _voice("build")
    assert first.returncode == second.returncode == 0, first.stderr
    assert "1 recording decoded, 1 segment cut, 1 encoded" in first.stdout
    assert "Audio accounting (kept and rejected, by reason)" in first.stdout
    assert "stand-in" in first.stdout
    assert "atheer_0104.json: a transcript without its recording" in " ".join(first.stderr.split())
    assert "Nothing to do" in second.stdout


def test_a_build_of_one_partition_leaves_the_others(built_corpus: BuiltCorpus) -> None:
    for key in ("Atheer_-/atheer_0003.json", "harbour-radio/clocks-004.json"):
        built_corpus.edit_transcript(key, lambda lines: lines[1].update(text="Put right by hand."))
    done = _voice("build", "--partition", "harbour-radio/batch-0001")
    assert "1 segment cut" in done.stdout
    status = json.loads(CliRunner().invoke(app, ["status", "--json"]).stdout)
    states = {item["partition"]: item["states"]["segments"] for item in status["partitions"]}
    assert states["harbour-radio/batch-0001"] == "current"
    assert states["Atheer_-/batch-0001"] == "stale"
    assert not status["finished"]


def test_wrong_input_ends_in_one_message_and_exit_code_2(built_corpus: BuiltCorpus) -> None:
    built_corpus.monkeypatch.setenv("VOICE_RULES__MIN_SNR_DB", "loud")
    settings = _voice("build")
    assert settings.returncode == 2
    assert "VOICE_RULES__MIN_SNR_DB" in settings.stderr
    assert "Traceback" not in settings.stderr
    built_corpus.monkeypatch.delenv("VOICE_RULES__MIN_SNR_DB")
    unknown = _voice("build", "-p", "nowhere/batch-0001")
    assert unknown.returncode == 2
    assert "nowhere/batch-0001" in unknown.stderr
    built_corpus.monkeypatch.setenv("VOICE_RAW_ULR", "x")
    misspelt = _voice("status")
    assert misspelt.returncode == 0
    assert "did you mean VOICE_RAW_URL" in " ".join(misspelt.stderr.split())


def test_an_empty_raw_bucket_is_an_error_that_says_what_was_looked_for(built_corpus: BuiltCorpus) -> None:
    empty = built_corpus.root / "empty"
    empty.mkdir()
    built_corpus.monkeypatch.setenv("VOICE_RAW_URL", str(empty))
    built_corpus.monkeypatch.setenv("VOICE_WORK_URL", str(built_corpus.root / "other"))
    done = _voice("build")
    assert done.returncode == 2
    assert "no recordings found" in done.stderr
    assert ".mp3" in done.stderr


def test_the_status_shows_the_tree_and_the_recordings_with_problems(built_corpus: BuiltCorpus) -> None:
    shown = CliRunner().invoke(app, ["status"], env={"COLUMNS": "200"})
    assert shown.exit_code == 0
    assert "Atheer - أثير" in shown.stdout
    assert "batch-0001 (open): 10 recordings" in shown.stdout
    assert "unreadable atheer_0101" in shown.stdout


def test_every_setting_is_shown_with_its_variable_and_meaning(built_corpus: BuiltCorpus) -> None:
    shown = CliRunner().invoke(app, ["settings"], env={"COLUMNS": "240"}).stdout
    for group in (Settings, *(info.annotation for info in Settings.model_fields.values())):
        for name, info in getattr(group, "model_fields", {}).items():
            if not hasattr(info.annotation, "model_fields"):
                assert f"{name.upper()} " in shown
                assert info.description, name


def test_forgetting_asks_first_and_names_what_it_cannot_find(built_corpus: BuiltCorpus) -> None:
    asked = CliRunner().invoke(app, ["forget", "snow-006"], input="n\n")
    assert asked.exit_code == 1
    assert "Forget harbour-radio/snow-006" in asked.stdout
    assert not (built_corpus.work / "tombstones").exists()
    unknown = _voice("forget", "nobody", "--yes")
    assert unknown.returncode == 2
    assert "no batch contains a recording nobody" in unknown.stderr


def test_the_page_is_one_file_with_audio_in_it(built_corpus: BuiltCorpus) -> None:
    path = built_corpus.root / "listen.html"
    assert CliRunner().invoke(app, ["page", str(path)]).exit_code == 0
    html = path.read_text("utf-8")
    assert html.count("data:audio/mpeg;base64,") > 10
    assert "http://" not in html.replace("http://www.w3.org", "")
    assert "https://" not in html
