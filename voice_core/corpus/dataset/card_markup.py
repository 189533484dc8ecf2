"""The markup of the dataset card: its YAML, and texts and tables as Markdown."""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import yaml  # type: ignore[import-untyped]

from voice_core.corpus.dataset.summary import Summary
from voice_core.corpus.names import FULL
from voice_core.layout import RowsFile
from voice_core.settings import Settings

_SIZES = ((10**3, "n<1K"), (10**4, "1K<n<10K"), (10**5, "10K<n<100K"), (10**6, "100K<n<1M"), (10**7, "1M<n<10M"))
_MARKDOWN = re.compile(r"([\\`*_\[\]<>|~#$&])")


def _data_files(config: str, splits: Iterable[str]) -> list[dict[str, str]]:
    """Patterns of a config's Parquet files, by split.

    >>> _data_files("neutts", ["test"])
    [{'split': 'test', 'path': 'neutts/*/batch-*.test.parquet'}]
    """
    return [{"split": split, "path": RowsFile.pattern(config, split)} for split in splits]


def render_front_matter(
    summary: Summary,
    settings: Settings,
    title: str,
    available: Mapping[str, Sequence[str]],
    digests: Mapping[str, str],
) -> str:
    """The YAML at the top of the card, for the hub and for `datasets.load_dataset(folder, config)`."""
    value: dict[str, Any] = {"license": settings.card.licence}
    if settings.card.languages:
        value["language"] = list(settings.card.languages)
    value["task_categories"] = ["text-to-speech"]
    value["pretty_name"] = title
    value["size_categories"] = [next((name for most, name in _SIZES if summary.kept.rows < most), "10M<n<100M")]
    codecs = sorted({str(codec["codec"]) for codec in summary.codecs})
    value["tags"] = ["audio", "speech", *(["audio-codes"] if codecs else []), *codecs]
    if available:
        value["configs"] = [
            {
                "config_name": config,
                **({"default": True} if config == FULL else {}),
                "data_files": _data_files(config, splits),
            }
            for config, splits in available.items()
        ]
    if digests:
        value["dataset_info"] = [
            {"config_name": config, "description": f"sha256-{digests[config]}"} for config in available
        ]
    return str(yaml.safe_dump(value, allow_unicode=True, sort_keys=False, width=1000))


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
