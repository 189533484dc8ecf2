"""Words that are divided at the end of a line."""

import re
from collections.abc import Callable

SOFT_HYPHEN = "\u00ad"
DIVIDED_LINES = re.compile(r"(?<=\w[-‐])[ \t]*\n\s*(?=\w)")
"""Between a line that ends with a hyphen and the following one."""
_DIVIDED = re.compile(r"(\w+)[-‐]$")
_NEXT = re.compile(r"\w+")
_WORD = re.compile(r"\w+(?:[-‐]\w+)*")
_LONGEST_WORD = 80  # characters of words that are divided
_SUSPENDED = frozenset(["and", "or", "to", "nor", "und", "oder", "et", "ou", "y", "o"])  # "pre- and post-war"


class Words:
    """The words of a document; `text` is asked for them when the first one is looked up."""

    def __init__(self, text: Callable[[], str]) -> None:
        self._text = text
        self._words: frozenset[str] | None = None

    def __contains__(self, word: str) -> bool:
        if self._words is None:
            self._words = frozenset(found.lower() for found in _WORD.findall(self._text()))
        return word.lower() in self._words


def joint_of(line: str, following: str, words: Words) -> str:
    """What is between a line and the following one, both without white space at their ends: " ", or "" where a word
    goes on with its hyphen, or "-" where it goes on, and the hyphen at the end of the line is to be left out.

    >>> words = Words(lambda: "A conversation of Jean-Paul.")
    >>> [joint_of(*pair.split(), words) for pair in ("con- versation", "Jean- Paul", "pre- and", "a b")]
    ['-', '', ' ', ' ']
    """
    if line.endswith(SOFT_HYPHEN):
        return ""
    if line[-1:] not in ("-", "‐"):
        return " "
    before, after = _DIVIDED.search(line[-_LONGEST_WORD:]), _NEXT.match(following[:_LONGEST_WORD])
    if not before or not after or after[0].lower() in _SUSPENDED:
        return " "
    is_word = before[1][-1].isalpha() and after[0][0].islower() and before[1] + after[0] in words
    return "-" if is_word and f"{before[1]}-{after[0]}" not in words else ""
