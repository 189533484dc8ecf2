"""The header of a Markdown file: YAML between lines of "---", TOML between lines of "+++", or lines after "%"."""

import re
import tomllib
from typing import Any

import yaml  # type: ignore[import-untyped]

_YAML = re.compile(r"\ufeff?---[ \t]*\n(?=\S)(.*?\n)(?:---|\.\.\.)[ \t]*(?:\n|$)", re.S)
_TOML = re.compile(r"\ufeff?\+\+\+[ \t]*\n(.*?\n)\+\+\+[ \t]*(?:\n|$)", re.S)
_LINE = r"%[^\n]*\n(?:[ \t]+\S[^\n]*\n)*"
_LINES = re.compile(rf"\ufeff?(?P<title>{_LINE})(?P<author>{_LINE})?(?P<date>%[^\n]*\n)?(?=[ \t]*\n)")
_NAME = re.compile(r"[\w-]+(?: [\w-]+){0,2}")
_KEY = re.compile(r"[\w-]+\s*:(?:\s|$)")


def read_header(text: str, name: str, warnings: list[str]) -> tuple[str, dict[str, Any]]:
    """The header of a text, "" where it has none, and what it says. Text between two lines is not a header."""
    if found := _YAML.match(text):
        try:
            content = yaml.safe_load(found[1])
        except (yaml.YAMLError, ValueError, RecursionError):
            if not _KEY.match(found[1]):
                return "", {}
            warnings.append(f"{name}: the header cannot be parsed as YAML and is ignored")
            content = {}
        if not isinstance(content, dict) or not all(_NAME.fullmatch(str(key)) for key in content):
            return "", {}
        return found[0], {str(key): value for key, value in content.items()}
    if found := _TOML.match(text):
        try:
            return found[0], tomllib.loads(found[1])
        except (tomllib.TOMLDecodeError, RecursionError):
            warnings.append(f"{name}: the header cannot be parsed as TOML and is ignored")
            return found[0], {}
    if found := _LINES.match(text):
        values = {key: value.strip(" %\t\n") for key, value in found.groupdict("").items()}
        return found[0], {key: " ".join(value.split()) for key, value in values.items() if value}
    return "", {}
