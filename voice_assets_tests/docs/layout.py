"""The places of files that docs/reference/layout.md names."""

import re

from voice_assets_tests.docs.pages import DOCS, blocks

_PAGE = DOCS / "reference" / "layout.md"


def documented_places(block: int) -> re.Pattern[str]:
    """A pattern for the keys that a fenced block of the page lists: 0 raw bucket, 1 work root, 2 Dagster's storage."""
    lines = [line for line in blocks(_PAGE)[block].code.splitlines() if line and not line.startswith(" ")]
    return re.compile("|".join(_as_pattern(re.split(r"\s{2,}", line)[0]) for line in lines))


def _as_pattern(place: str) -> str:
    pattern = re.sub(r"<\w+>", "[^/]+", re.escape(place).replace(r"\-", "-"))
    return pattern.replace("batch-0001", r"batch-\d{4}").replace("…", ".+")
