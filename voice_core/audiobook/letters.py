"""Texts compared by their letters or words: case, punctuation and vowel marks do not count."""

import re
import unicodedata
from collections.abc import Iterator

from voice_core.audiobook.roman_numerals import roman_value

_ONES = (
    "one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
    "eighteen nineteen"
)
_TENS = "twenty thirty forty fifty sixty seventy eighty ninety"
_NUMBERS = {word: i for i, word in enumerate(_ONES.split(), 1)} | {w: 10 * i for i, w in enumerate(_TENS.split(), 2)}
_WORD = re.compile(r"[^\W_]+")
_LONGEST_NUMBER = 6  # digits


def letters_of(text: str) -> str:
    """The letters and figures of a text, in one case.

    >>> letters_of("The Sea, 3!"), letters_of("الفَصل")
    ('thesea3', 'الفصل')
    """
    return "".join(filter(str.isalnum, text)).casefold()


def have_words_in_common(text: str, other: str) -> bool:
    """Whether all words of one of two texts stand next to each other in the other one. A number is equal to the same
    number in words or Roman figures.

    >>> have_words_in_common("Chapter 1. The Sea", "THE SEA"), have_words_in_common("21", "CHAPTER TWENTY-ONE")
    (True, True)
    >>> have_words_in_common("Art", "The Start"), have_words_in_common("I", "In the Beginning")
    (False, False)
    """
    short, long = sorted(([*_words_of(text)], [*_words_of(other)]), key=len)
    return bool(short) and any(long[i : i + len(short)] == short for i in range(len(long) - len(short) + 1))


def _words_of(text: str) -> Iterator[str | int]:
    """The words in one case, numbers as such."""
    plain = "".join(char for char in text if not unicodedata.combining(char) and char not in "'’")
    tens = 0
    for found in _WORD.findall(plain):
        word = found.casefold()
        value = _NUMBERS.get(word, 0) or (roman_value(found) if found.isupper() else 0)
        if found.isdecimal() and len(found) <= _LONGEST_NUMBER:
            value = int(found)
        if tens:
            if 0 < value < 10:
                yield tens + value
                tens = 0
                continue
            yield tens
            tens = 0
        if word in _TENS.split():
            tens = value
        else:
            yield value or word
    if tens:
        yield tens
