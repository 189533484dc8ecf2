"""Names with brackets and spaces in them, which a terminal's markup and a shell would take for something else."""

import json
import shlex

import dagster as dg
from typer.testing import CliRunner

from voice_assets.cli import app
from voice_assets_tests.assets.conftest import BuiltCorpus
from voice_core.stages.integrity import AuditReport, PartitionAudit


def told(*arguments: str) -> str:
    done = CliRunner().invoke(app, list(arguments))
    assert done.exit_code == 0, done.output
    return done.output


def folded(text: str) -> str:
    """What a narrow table parts at its cells' edges in one piece, without spaces."""
    rows = [line.split("│")[1:-1] for line in text.splitlines() if "│" in line]
    return "".join("".join("".join(column) for column in zip(*rows, strict=True)).split())


def test_a_build_names_unused_objects_in_full(built_corpus: BuiltCorpus) -> None:
    (built_corpus.raw / "odd[").mkdir()
    for name in ("notes [draft].txt", "odd[/b] name.txt"):
        (built_corpus.raw / name).write_text("x", "utf-8")
    shown = told("build")
    assert "notes [draft].txt: " in shown
    assert "odd[/b] name.txt: " in shown


def test_settings_are_shown_as_they_are(built_corpus: BuiltCorpus) -> None:
    built_corpus.monkeypatch.setenv("VOICE_CHANNEL_MAPPING", json.dumps({"news": "News [daily]"}))
    assert "News[daily]" in folded(told("settings"))


def test_a_recording_is_forgotten_under_its_whole_name(built_corpus: BuiltCorpus) -> None:
    folder = built_corpus.raw / "Late [live] show"
    folder.mkdir()
    (folder / "talk [b].mp3").write_bytes((built_corpus.raw / "harbour-radio" / "snow-006.mp3").read_bytes())
    built_corpus.build()
    assert "Late [live] show/talk [b] is forgotten" in told("forget", "talk [b]", "--yes")


@dg.op
def fail_with_brackets() -> None:
    raise OSError("[/mnt/x] is gone [errno 5]")


@dg.job
def failing_job() -> None:
    fail_with_brackets()


def test_the_error_of_a_failed_run_is_shown_unchanged(built_corpus: BuiltCorpus) -> None:
    assert not failing_job.execute_in_process(instance=built_corpus.instance, raise_on_error=False).success
    assert "OSError:[/mnt/x]isgone[errno5]" in folded(told("failures"))


def test_the_command_that_repairs_a_batch_is_quoted_for_the_shell() -> None:
    key = "New %5Blive%5D show (1)/batch-0001"
    report = AuditReport("", partitions={key: PartitionAudit(1, 1, wrong={"x": "is missing"})})
    assert [shlex.split(item) for item in report.remedies] == [["voice", "build", "--verify", "--partition", key]]
