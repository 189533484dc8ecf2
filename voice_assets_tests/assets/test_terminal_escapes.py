"""Control characters in names and texts are shown escaped; everything else in them is shown as it is."""

import io
import json
import logging
import re
import tempfile
from pathlib import Path

import pytest
from rich.table import Table
from rich.text import Text
from rich.tree import Tree

from voice_assets.cli import output
from voice_assets.cli.exit_codes import INTERNAL_ERROR_EXIT_CODE, report_error
from voice_assets_tests.command_server import shared_command_server
from voice_assets_tests.core.corpus.small_corpus import Corpus, make_lines
from voice_assets_tests.dagster_home import create_dagster_home

# Clear the screen, set the title, C1's CSI, bell, backspace, delete, line separator, right-to-left override, isolate.
HOSTILE = "a\x1b[2J\x1b]0;title\x07b\x9b31m\x08\r\x7f\u2028\u202egnp.exe\u2066c"
OBEYED = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
HARMLESS = "أثير العَرَبِيَّة e\u0301 👩‍💻 🇯🇴 [bold] [/] :cat: a\tb"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def shown_on(terminal: Terminal) -> str:
    """What a terminal was sent, without the colours and cursor movements of rich itself."""
    return re.sub("\x1b\\[[0-9;?]*[A-Za-z]", "", terminal.getvalue().replace("\r", ""))


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    terminal = Terminal()
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setattr(output, "errors", output.Console(file=terminal, width=400))
    return terminal


@pytest.mark.parametrize("kind", ["text", "markup", "table", "tree", "title", "rich text", "log", "bar"])
def test_nothing_that_a_terminal_would_obey_is_printed(
    kind: str, terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    errors = output.errors
    if kind == "text":
        errors.print(HOSTILE, markup=False)
    elif kind == "markup":
        errors.print(f"[bold]{output.escape(HOSTILE)}[/]")
    elif kind in ("table", "title"):
        table = Table("name", title=HOSTILE if kind == "title" else "")
        table.add_row(output.escape(HOSTILE))
        errors.print(table)
    elif kind == "tree":
        errors.print(Tree(HOSTILE))
    elif kind == "rich text":
        errors.print(Text(HOSTILE))
    elif kind == "log":
        monkeypatch.setattr(logging, "lastResort", logging.lastResort)
        output.show_warnings()
        assert logging.lastResort is not None
        logging.lastResort.emit(logging.LogRecord("x", logging.WARNING, "", 0, "%s", (HOSTILE,), None))
    else:
        bar = output.RichReporter()
        task = bar.start(HOSTILE, 2, "items")
        task.advance(1, note=HOSTILE)
        task.display.refresh()
        bar.finish(task)
    printed = shown_on(terminal)
    if kind == "rich text":  # which drops some of them by itself
        assert r"a\x1b[2J\x1b]0;title" in printed
    else:
        assert r"a\x1b[2J\x1b]0;title\x07b\x9b31m\x08\r\x7f\u2028\u202egnp.exe\u2066c" in printed
    assert OBEYED.findall(printed) == []


def test_other_scripts_emoji_and_brackets_are_printed_as_they_are(terminal: Terminal) -> None:
    output.errors.print(HARMLESS.replace("\t", " "), markup=False, highlight=False)
    assert HARMLESS.replace("\t", " ") in shown_on(terminal)
    assert output.escape_control_characters(HARMLESS) == HARMLESS


def test_questions_lines_and_json_for_programs_are_escaped_too(capsys: pytest.CaptureFixture[str]) -> None:
    output.echo(HOSTILE)
    output.print_json({"name": HOSTILE, "other": HARMLESS})
    printed = capsys.readouterr().out
    assert OBEYED.findall(printed) == []
    assert json.loads(printed.split("\n", 1)[1]) == {"name": HOSTILE, "other": HARMLESS}


def test_a_traceback_holds_neither_secrets_nor_control_characters(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("SOME_API_KEY", "not-to-be-seen")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with pytest.raises(KeyError) as caught:
        raise KeyError(HOSTILE) from ValueError(f"not-to-be-seen {HOSTILE}")
    assert report_error(caught.value) == INTERNAL_ERROR_EXIT_CODE
    (written,) = tmp_path.iterdir()
    printed = shown_on(terminal) + written.read_text("utf-8")
    assert "KeyError" in printed
    assert "Traceback" in printed
    assert "not-to-be-seen" not in printed
    assert OBEYED.findall(printed) == []


def test_commands_show_hostile_names_and_texts_escaped(tmp_path: Path) -> None:
    corpus = Corpus(tmp_path)
    channel = "news \u202e"
    lines = make_lines(6, "one \x1b]0;title\x07 \u202e")
    lines[1]["end"] = lines[1]["start"]  # a line that cannot be cut
    corpus.add_recording("one", 6, lines, channel=channel)
    corpus.add_recording("two \u202e\u2066", 6, channel=channel)  # an ESC can be in no key
    (tmp_path / "raw" / channel / "stray\x1b[2J\x07.json").write_text("{}", "utf-8")
    (tmp_path / "raw" / channel / "bad\u202e.mp3").write_bytes(b"not audio")
    (tmp_path / "raw" / channel / "bad\u202e.json").write_text(json.dumps({"segments": lines}), "utf-8")
    home = create_dagster_home(tmp_path / "dagster_home", with_databases=True)
    variables = {
        "VOICE_RAW_URL": str(tmp_path / "raw"),
        "VOICE_WORK_URL": str(tmp_path / "work"),
        "DAGSTER_HOME": str(home),
    }
    outputs = {}
    for arguments in (
        ("build",), ("status",), ("trace", "one", "0"), ("trace", "one", "0", "--json"),
        ("forget", "two \u202e\u2066"),
        ("store", "copy", "--dry-run", str(tmp_path / "raw"), str(tmp_path / "copy")),
    ):  # fmt: skip
        outputs[arguments] = shared_command_server().run(tmp_path, variables, *arguments).output
    assert {name: found for name, output in outputs.items() if (found := OBEYED.findall(output))} == {}
    assert r"stray\x1b[2J\x07.json" in outputs["status",]
    assert r"bad\u202e" in outputs["status",]
    assert r"\x1b]0;title\x07" in outputs["trace", "one", "0"]
    assert r"Forget news \u202e/two \u202e\u2066" in outputs["forget", "two \u202e\u2066"]
