"""What a person at the terminal sees."""

import io
import logging
import sys

import pytest

from voice_assets.cli import output
from voice_core.compute import progress
from voice_core.tts.stdout_capture import capture_output


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_bars_reach_the_terminal_while_an_engine_captures_what_its_package_prints(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setattr(output, "errors", output.Console(stderr=True))
    monkeypatch.setattr("voice_core.compute.progress._reporter", progress.LogReporter())
    monkeypatch.setenv("TERM", "xterm")
    output.show_progress()
    log = logging.getLogger("engine")
    with progress.track("speaking", 10, "utterances") as bar:
        before = len(terminal.getvalue())
        with caplog.at_level(logging.DEBUG, "engine"), capture_output(log, logging.DEBUG):
            sys.stderr.write("loading\n")
            bar.advance(4)
            bar.display.refresh()  # type: ignore[attr-defined]
        assert "4/10" in terminal.getvalue()[before:]
    assert [record.getMessage() for record in caplog.records] == ["loading"]


def test_the_first_lines_are_printed_and_the_others_counted(capsys: pytest.CaptureFixture[str]) -> None:
    lines = ["001-0001: too short", "001-0002: too long"]
    output.print_first(lines, 1, "exception:", noun="chunk", rest="; see the page")
    assert capsys.readouterr().err.splitlines() == [
        "exception: 001-0001: too short",
        "exception: and 1 more chunk; see the page",
    ]
    output.print_first(lines[:1], 1, "exception:", noun="chunk", rest="; see the page")
    assert capsys.readouterr().err.splitlines() == ["exception: 001-0001: too short"]
