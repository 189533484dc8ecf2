"""The fields of one transcript line, checked: times, text and metadata. Every format uses these functions."""

import math
import re
from typing import Any

from voice_core.corpus.ingest.transcript_types import Line
from voice_core.corpus.labels import LABELS, Label

_MAX_TIME_CHARACTERS = 80
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
_NUMBER = re.compile(r"[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?", re.ASCII)


class BadLineError(Exception):
    """A field cannot be read. `reason` is a key of `BAD_LINE_REASONS`."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


def parse_line(index: int, fields: dict[str, Any], path: str, start_sec: float, end_sec: float) -> Line:
    """A line from its fields by name. `path` is the position for messages. Raises `BadLineError`."""
    text = parse_text(fields.get("text"), f"{path}.text")
    labels = {label.name: _parse_label(fields, label, path) for label in LABELS}
    return Line(index, start_sec, end_sec, text, **labels)


def _parse_label(fields: dict[str, Any], label: Label, path: str) -> str:
    """The label under its name, or if that is missing or empty, under the first alias that is not."""
    names = (label.name, *label.aliases)
    name = next((name for name in names if fields.get(name) not in (None, "")), names[-1])
    return parse_metadata(fields.get(name), f"{path}.{name}")


def parse_time(value: Any, path: str) -> float:
    """A finite number, or a string that holds one. Raises `BadLineError`."""
    if value is None:
        raise BadLineError("missing_time", f"{path} is missing")
    number = math.nan
    if isinstance(value, str):
        digits = value.strip() if len(value) <= _MAX_TIME_CHARACTERS else ""
        if _NUMBER.fullmatch(digits):
            number = float(digits)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        try:
            number = float(value)
        except OverflowError:
            number = math.inf
    if not math.isfinite(number):
        raise BadLineError("bad_time", f"{path} is not a finite number: {describe_value(value)}")
    return number


def parse_text(value: Any, path: str) -> str:
    """A string that can be stored, unchanged. Raises `BadLineError`."""
    if not isinstance(value, str):
        raise BadLineError("bad_text", f"{path} is not a string: {describe_value(value)}")
    if problem := find_unstorable(value):
        raise BadLineError("bad_text", f"{path}: {problem}: {describe_value(value)}")
    return value


def parse_metadata(value: Any, path: str) -> str:
    """A string or a finite number as a string; null and NaN are "". Raises `BadLineError`."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if isinstance(value, str):
        if problem := find_unstorable(value):
            raise BadLineError("bad_metadata", f"{path}: {problem}: {describe_value(value)}")
        return value
    if isinstance(value, float) and math.isfinite(value):
        return str(int(value)) if value.is_integer() and abs(value) < 2**53 else str(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    raise BadLineError("bad_metadata", f"{path} is neither a string nor a finite number: {describe_value(value)}")


def find_unstorable(text: str) -> str:
    """Describe the first character that cannot be stored; "" if there is none.

    >>> find_unstorable("a\\0")
    'character 1 is a NUL, which cannot be stored'
    """
    match = _UNSTORABLE.search(text)
    if match is None:
        return ""
    what = "a NUL" if match[0] == "\x00" else f"a lone surrogate (U+{ord(match[0]):04X})"
    return f"character {match.start()} is {what}, which cannot be stored"


def to_storable(text: str) -> str:
    """The text with U+FFFD in place of characters that cannot be stored."""
    return _UNSTORABLE.sub("\ufffd", text)


def describe_value(value: Any) -> str:
    """Describe a value for a message.

    Text is not quoted, because messages go to logs and to Dagster, where `voice forget` cannot remove it. Lists and
    objects are not expanded, because they may be as deep as the file is long.

    >>> [describe_value(value) for value in ("a" * 100, [1, 2], {}, None, 10**500)]
    ['a string of 100 characters', 'a list of 2', 'an object', 'nothing', 'an integer of about 501 digits']
    """
    if isinstance(value, str):
        return f"a string of {len(value)} character{'' if len(value) == 1 else 's'}"
    if isinstance(value, list):
        return f"a list of {len(value)}"
    if isinstance(value, dict):
        return "an object"
    if value is None:
        return "nothing"
    if isinstance(value, int) and value.bit_length() > 256:
        return f"an integer of about {int(value.bit_length() * math.log10(2)) + 1} digits"
    return repr(value)
