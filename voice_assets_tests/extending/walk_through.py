"""The walk-throughs of docs/extending.md: their code blocks, applied to a copy of the source.

The words after a block's language say what it is: `file=PATH` is a whole file, `insert=PATH` goes before or after the
one line of a file that begins with `before="…"` or `after="…"`, and `check` is run.
"""

import re
import shlex
import tomllib
from dataclasses import dataclass
from pathlib import Path

DOCUMENT = Path(__file__).parents[2] / "docs" / "extending.md"
_BLOCK = re.compile(r"^```(\w+) ([^\n]+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True, slots=True)
class Block:
    """A code block; `options` are the words after the language, by name."""

    language: str
    options: dict[str, str]
    code: str


@dataclass(frozen=True, slots=True)
class WalkThrough:
    """A section of the document."""

    title: str
    blocks: tuple[Block, ...]

    @property
    def checks(self) -> list[Block]:
        return [block for block in self.blocks if "check" in block.options]

    @property
    def edits(self) -> list[Block]:
        return [block for block in self.blocks if "check" not in block.options]

    @property
    def files(self) -> list[str]:
        """The files of this project that the section adds or changes."""
        paths = [block.options.get("file") or block.options["insert"] for block in self.edits]
        return sorted({path for path in paths if path.startswith("voice_core/")})


def read_walk_throughs(text: str) -> dict[str, WalkThrough]:
    """The sections of a document that have code, by title."""
    sections = (section.partition("\n") for section in re.split(r"^## ", text, flags=re.MULTILINE)[1:])
    found = [WalkThrough(title, tuple(map(_read_block, _BLOCK.finditer(body)))) for title, _, body in sections]
    return {item.title: item for item in found if item.blocks}


def _read_block(match: re.Match[str]) -> Block:
    words = (word.partition("=") for word in shlex.split(match[2]))
    return Block(match[1], {name: value for name, _, value in words}, match[3])


def apply_edits(walk_through: WalkThrough, source: Path, elsewhere: Path) -> None:
    """Apply the blocks: files of this project below `source`, the others below `elsewhere`."""
    for block in walk_through.edits:
        name = block.options.get("file") or block.options["insert"]
        path = (source if name.startswith("voice_core/") else elsewhere) / name
        if "file" in block.options:
            assert not path.exists(), f"{name} exists"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(block.code, "utf-8")
        else:
            path.write_text(_insert(path.read_text("utf-8"), block, name), "utf-8")


def _insert(text: str, block: Block, name: str) -> str:
    lines = text.splitlines(keepends=True)
    after = "after" in block.options
    anchor = block.options["after" if after else "before"]
    places = [number for number, line in enumerate(lines) if line.startswith(anchor)]
    assert len(places) == 1, f"{name} has {len(places)} lines that begin with {anchor!r}"
    at = places[0] + after
    return "".join([*lines[:at], block.code, *lines[at:]])


def install_package(folder: Path) -> None:
    """Write the metadata by which Python finds the entry points of a package in `folder`, as an installer does."""
    project = tomllib.loads((folder / "pyproject.toml").read_text("utf-8"))["project"]
    info = folder / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n")
    groups = [
        "\n".join([f"[{group}]", *(f"{name} = {value}" for name, value in points.items())])
        for group, points in project["entry-points"].items()
    ]
    (info / "entry_points.txt").write_text("\n\n".join(groups) + "\n")
