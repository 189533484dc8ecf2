"""What precedes the root of a document: declaration, comments, instructions, document type."""

import re

_SPACE = re.compile(r"[\s\ufeff]*")
_OPENING = re.compile(r"[\[>]")
_INSIDE = re.compile(r"<!--.*?(?:-->|\Z)|<\?.*?(?:\?>|\Z)|\"[^\"]*(?:\"|\Z)|'[^']*(?:'|\Z)|\]", re.S)
"""Parts of an internal subset, and its end. No part begins inside another one, so the time is linear."""


def without_prolog(text: str) -> str:
    """The text without XML declaration and document type; line ends are kept, so that numbers of lines stay right.

    >>> without_prolog("<?xml version='1.0'?>\\n<!-- <!DOCTYPE a> --><!DOCTYPE b [<!ENTITY c ']>'>]><b/>")
    '\\n<!-- <!DOCTYPE a> --><b/>'
    """
    kept: list[str] = []
    at = 0
    while True:
        start = _SPACE.match(text, at).end()  # type: ignore[union-attr]
        kept.append(text[at:start].replace("\ufeff", ""))
        if text.startswith("<!--", start):
            end = _end_of(text, "-->", start + 4)
            kept.append(text[start:end])
        elif text.startswith("<?", start):
            end = _end_of(text, "?>", start + 2)
            kept.append("\n" * text.count("\n", start, end))
        elif text[start : start + 9].upper() == "<!DOCTYPE":
            end = _end_of_doctype(text, start)
            kept.append("\n" * text.count("\n", start, end))
        else:
            return "".join([*kept, text[start:]])
        at = end


def _end_of(text: str, sign: str, start: int) -> int:
    found = text.find(sign, start)
    return len(text) if found < 0 else found + len(sign)


def _end_of_doctype(text: str, start: int) -> int:
    """Where a document type ends. Its internal subset in brackets may have ">" and "]" in quotes and comments."""
    found = _OPENING.search(text, start)
    if found is None or found[0] == ">":
        return len(text) if found is None else found.end()
    subset = next((match for match in _INSIDE.finditer(text, found.end()) if match[0] == "]"), found)
    return _end_of(text, ">", subset.end())
