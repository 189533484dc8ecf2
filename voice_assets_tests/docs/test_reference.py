"""The reference says what the code does: generated pages equal it, written ones are compared with it."""

import ast
import os
import re
import subprocess
import sys
from pathlib import Path

from voice_assets_tests.docs.pages import DOCS, ROOT, code_spans
from voice_core.corpus.segment.rules import RULES

REASONS = DOCS / "reference" / "reject-reasons.md"
REASON_ARGUMENT = {
    "Reject": 1,
    "BadLine": 1,
    "_skipped_result": 2,
    "TranscriptError": 0,
    "OutOfLimitsError": 0,
    "_BadLineError": 0,
    "BadLineError": 0,
    "_refuse": 0,
}
"""Where a call has the reason for which something is rejected."""


def syntax_trees() -> list[ast.Module]:
    return [ast.parse(path.read_text("utf-8")) for path in sorted((ROOT / "voice_core").rglob("*.py"))]


def reasons_in_the_code() -> set[str]:
    """Every reason that a call in the library spells out."""
    found = set()
    for node in (node for tree in syntax_trees() for node in ast.walk(tree) if isinstance(node, ast.Call)):
        callee = node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "")
        position = REASON_ARGUMENT.get(callee, len(node.args))
        argument = node.args[position] if position < len(node.args) else None
        if isinstance(argument, ast.Constant) and isinstance(argument.value, str):
            found.add(argument.value)
    return found | {rule.__name__ for rule in RULES}


def test_generated_pages_equal_the_code() -> None:
    script = [sys.executable, str(DOCS / "generate_reference.py"), "--check"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(script, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_reason_of_the_code_is_documented() -> None:
    found = reasons_in_the_code()
    assert len(found) > 50
    assert sorted(found - set(code_spans(REASONS))) == []


def test_every_documented_reason_is_one_of_the_code() -> None:
    strings = {
        node.value for tree in syntax_trees() for node in ast.walk(tree) if isinstance(node, ast.Constant)
    } | reasons_in_the_code()
    speech = {f"speech_{kind}" for kind in ("refused", "failed", "crashed")}  # put together from the synthesis' reason
    rows = [line for line in REASONS.read_text("utf-8").splitlines() if line.startswith("|")]
    cells = [cell for row in rows for cell in row.strip("|").split(" | ")[:-1]]
    named = {span for cell in cells for span in re.findall(r"`(\w+)`", cell)}
    assert len(named) > 50
    assert sorted(named - strings - speech) == []


def test_exit_codes_of_the_help_are_those_of_the_reference() -> None:
    from voice_assets.cli import app

    said = set(re.findall(r"(?:^|; )(?:Exit codes: )?(\d+) ", str(app.info.help).split("Exit codes: ")[1]))
    documented = set(re.findall(r"^\| (\d+) \|", Path(DOCS / "reference" / "exit-codes.md").read_text("utf-8"), re.M))
    assert said == documented
