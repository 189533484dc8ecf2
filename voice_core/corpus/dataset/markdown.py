"""Texts and tables as Markdown."""

import re
from collections.abc import Iterable, Sequence
from typing import Any

_MARKDOWN = re.compile(r"([\\`*_\[\]<>|~#$&])")


def escape_markdown(text: str) -> str:
    """A text as one line of Markdown without any markup, also in tables.

    >>> escape_markdown("a|b\\n<i>*c*")
    'a\\\\|b \\\\<i\\\\>\\\\*c\\\\*'
    """
    return _MARKDOWN.sub(r"\\\1", " ".join(text.split()))


def inline_code(value: Any) -> str:
    """A value as inline code that is valid in a table."""
    text = " ".join(str(value).split()).replace("`", "'").replace("|", "\\|")
    return f"`{text}`" if text else ""


def table(head: Sequence[str], lines: Iterable[Sequence[str]], align: str) -> str:
    """A Markdown table of escaped cells; `align` has l or r for each column."""
    marks = ["---:" if side == "r" else "---" for side in align]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in (head, marks, *lines))
