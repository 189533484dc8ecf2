"""Commands without data: a misspelt URL or batch must not look like one in which everything is current."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from voice_assets.cli import app
from voice_assets_tests.assets.conftest import BuiltCorpus


@pytest.fixture
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder without a raw bucket and without a work root."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("VOICE_RAW_URL", "raw")
    monkeypatch.setenv("VOICE_WORK_URL", "work")
    return tmp_path


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["audit"], "there is no batch of recordings in file://"),
        (["page"], "there are no segments in file://"),
        (["status"], "raw: there is no such folder"),
        (["plan"], "raw: there is no such folder"),
        (["trace", "news_seg_1"], "there is no row news_seg_1"),
    ],
)
def test_a_command_says_that_nothing_exists_and_creates_nothing(
    nowhere: Path, arguments: list[str], message: str
) -> None:
    done = CliRunner().invoke(app, arguments)
    assert isinstance(done.exception, LookupError | OSError)
    assert message in str(done.exception)
    assert list(nowhere.iterdir()) == []


def test_an_audit_of_an_unknown_batch_is_refused(built_corpus: BuiltCorpus) -> None:
    done = CliRunner().invoke(app, ["audit", "-p", "harbour-radio/batch-0007"])
    assert isinstance(done.exception, LookupError)
    assert "there is no partition harbour-radio/batch-0007" in str(done.exception)
    whole = CliRunner().invoke(app, ["audit", "-p", "harbour-radio/batch-0001"])
    assert whole.exit_code == 0
    assert " in 1 batch: 0 wrong" in whole.output
