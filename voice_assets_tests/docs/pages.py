"""The pages of the documentation, and what is in them: code spans, fenced blocks, links, headings."""

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
EXTENDING = DOCS / "extending.md"  # names what it adds; voice_assets_tests/extending/ applies and runs it
PAGES = [
    ROOT / "README.md",
    ROOT / "benchmarks" / "README.md",
    *(page for page in sorted(DOCS.rglob("*.md")) if page != EXTENDING),
]

_FENCE = re.compile(r"^```(\w*)[^\n]*\n(.*?)^```$", re.M | re.S)
_SPAN = re.compile(r"`([^`]+)`")
_LINK = re.compile(r"\]\(([^)\s]+)\)")


@dataclass(frozen=True)
class Block:
    """A fenced block; `language` is "" where none is named."""

    language: str
    code: str


def read(page: Path) -> str:
    return page.read_text("utf-8")


def blocks(page: Path, *languages: str) -> list[Block]:
    """The fenced blocks of a page, of some languages or of all."""
    found = [Block(*match.groups()) for match in _FENCE.finditer(read(page))]
    return [block for block in found if not languages or block.language in languages]


def code_spans(page: Path) -> list[str]:
    """Code within text, on one line each."""
    return [" ".join(span.split()) for span in _SPAN.findall(_FENCE.sub("", read(page)))]


def links(page: Path) -> list[str]:
    """Targets of links and pictures that are not on the web."""
    found = _LINK.findall(_FENCE.sub("", read(page)))
    return [target for target in found if not target.startswith(("http://", "https://"))]


def anchors(page: Path) -> set[str]:
    """What a link may name after `#`: each heading in lower case, without punctuation, spaces as hyphens."""
    headings = re.findall(r"^#+ (.+)$", _FENCE.sub("", read(page)), re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def name(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()
