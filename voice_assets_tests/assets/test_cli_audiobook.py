"""`voice audiobook`: the commands that its messages and the audit name work when they are pasted into a shell."""

import json
import shlex
from pathlib import Path

import pytest
from typer.testing import CliRunner

from voice_assets.cli import app
from voice_core.audiobook.integrity import audit_book, list_built_books
from voice_core.layout import BookKey
from voice_core.storage.store import Store
from voice_core.synthesis import SynthesisFailure
from voice_core.synthesis.voice_levels import CalibrationSentence, VoiceLevels

TEXT = "# One\n\nThe ferry leaves at six.\n\n# Two\n\nNobody came back.\n"


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    for name, value in {
        "VOICE_WORK_URL": str(tmp_path / "work"),
        "VOICE_AUDIOBOOK__FORMATS": '["m4b"]',
        "VOICE_WORKERS": "1",
        "AUDIOBOOK_BATCH_MODE": "1",
        "COLUMNS": "500",
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("VOICE_AUDIOBOOK__BOOKS_URL", raising=False)
    monkeypatch.chdir(tmp_path)
    return Store((tmp_path / "work").as_uri(), create=True)


def paste(command: str) -> str:
    """Run a command as a message names it. Returns what it prints."""
    voice, *arguments = shlex.split(command)
    assert voice == "voice"
    result = CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def damage(work: Store, suffix: str) -> None:
    """Corrupt the first file with this suffix."""
    key = sorted(item.key for item in work.listing("") if item.key.endswith(suffix))[0]
    data = work.get(key)
    work.put(key, data[:-1] + bytes([data[-1] ^ 1]))


def remedy(work: Store, book: BookKey) -> str:
    audit = audit_book(work, book)
    assert audit.wrong
    return audit.remedy


def test_a_book_built_by_its_path_is_repaired_and_redone_by_name(work: Store, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "The Ferry? (1).md").write_text(TEXT)
    paste("voice audiobook build 'elsewhere/The Ferry? (1).md'")
    [book] = list_built_books(work)
    for suffix in (".flac", ".m4b"):
        damage(work, suffix)
        told = paste(remedy(work, book))
        assert "The Ferry? (1).md is not found; the text of the last build is used" in told
        assert audit_book(work, book).wrong == {}
    told = paste("voice audiobook redo 'The Ferry%3F (1)' 001-0002")
    assert "1 utterance spoken now" in told
    assert "1 chapter mastered" in told
    paste("voice audiobook check 'The Ferry%3F (1)'")


def test_a_name_that_is_neither_a_file_nor_built_is_an_error(work: Store) -> None:
    result = CliRunner().invoke(app, ["audiobook", "redo", "nothing", "001-0001"])
    assert isinstance(result.exception, LookupError)
    assert "nothing: there is no such file" in str(result.exception)
    assert not list(work.listing(""))


def test_the_speech_of_a_pipeline_is_repaired_and_checked_by_name(work: Store, tmp_path: Path) -> None:
    (tmp_path / "c1.txt").write_text("The ferry leaves at 6 p.m.")
    chunks = {"phase3": {"files": {"my book": {"chunk_paths": ["c1.txt"]}}}}
    (tmp_path / "pipeline.json").write_text(json.dumps(chunks))
    speak = "voice audiobook speak --file_id 'my book' --json_path pipeline.json"
    paste(speak)
    [book] = list_built_books(work)
    paste(f"voice audiobook check {shlex.quote(str(book))}")
    damage(work, ".flac")
    assert speak in paste(remedy(work, book))
    assert audit_book(work, book).wrong == {}
    assert not list(work.listing("audiobooks/"))
    assert "kept: `voice audiobook speak` reads it" in paste("voice clean chunk_audio --yes")
    assert "0 takes spoken now, 1 kept" in paste(speak)


def test_a_level_that_cannot_be_measured_is_shown(work: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "ferry.md").write_text(TEXT)
    measure = VoiceLevels.add_result

    def fail(self: VoiceLevels, where: CalibrationSentence, result: object) -> bool:
        return measure(self, where, SynthesisFailure("failed", "out of breath"))

    monkeypatch.setattr(VoiceLevels, "add_result", fail)
    assert "exception: the level of the voice 'default' could not be measured" in paste(
        "voice audiobook build ferry.md"
    )
    told = paste("voice audiobook check ferry")
    assert "levels_are_measured" in told
    assert "out of breath" in told
