"""The page on the architecture names every package and every module outside of one, and the layers of the imports."""

import re

import pytest

from voice_assets_tests.docs.pages import DOCS, ROOT, blocks, read
from voice_assets_tests.test_import_direction import LAYERS

PAGE = DOCS / "explanation" / "architecture.md"


def first_cells(folder: str) -> set[str]:
    """The names in the first column of the table whose heading ends in a folder."""
    section = read(PAGE).split(f"`{folder}/`\n", 1)[1].split("\n#", 1)[0]
    rows = re.findall(r"^\| (`.*?) \|", section, re.M)
    return {name for row in rows for name in re.findall(r"`([^`]+)`", row)}


@pytest.mark.parametrize("folder", ["voice_core", "voice_core/corpus", "voice_assets", "resources"])
def test_every_package_and_module_has_a_row(folder: str) -> None:
    packages = {f"{path.parent.name}/" for path in (ROOT / folder).glob("*/__init__.py")}
    modules = {path.name for path in (ROOT / folder).glob("*.py")} - {"__init__.py"}
    assert first_cells(folder) == packages | modules


def test_the_layers_of_the_imports_are_those_that_are_tested() -> None:
    (block,) = [block for block in blocks(PAGE) if "↓" in block.code and "resources" in block.code]
    lines = [line for line in block.code.splitlines() if "↓" not in line]

    def line_of(unit: str) -> int:
        group, _, name = unit.removeprefix("voice_core.").rpartition(".")
        found = [
            number
            for number, line in enumerate(lines)
            if line.startswith("corpus:") == (group == "corpus") and name in re.findall(r"\w+", line)
        ]
        assert len(found) == 1, f"{unit} is in {len(found)} lines"
        return found[0]

    order = [line_of(unit) for layer in LAYERS for unit in sorted(layer)]
    assert order == sorted(order)
