"""Compares texts by their sound: homophones and other spellings of a word are the same word."""

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any

from voice_core.language import is_english
from voice_core.recognition.recognisers import normalize_words
from voice_core.recognition.text_words import READINGS, Reading, spoken_forms

_SPACED_NUMBER = re.compile(r"(?<=\d)[ \u00a0\u2009\u202f](?=\d{3}(?!\d))")
_PART = re.compile(r"\S+?(?:[-–—](?=[^\W\d])|\s+|$)|^\s+")
_SCALES = ("hundred", "thousand", "million")
_NAMES = {
    f"{name}{ending}": f"catherine{ending}" for name in ("katherine", "katharine", "catharine") for ending in ("", "'s")
}
"""Spellings of one name that the pronunciations take for several."""
_STRESS = str.maketrans("", "", "ˈˌː")
_ARABIC = str.maketrans({"أ": "ا", "إ": "ا", "آ": "ا", "ٱ": "ا", "ى": "ي", "ة": "ه", "ـ": None})


@dataclass(frozen=True, slots=True)
class ComparedText:
    """A text as it is spoken. `parts` are the text, cut before words, `words` those of the comparison; `places` has the
    part that each word is of."""

    parts: Sequence[str]
    words: Sequence[str]
    places: Sequence[int]


@dataclass(frozen=True, slots=True)
class Difference:
    """Words of a text that were heard otherwise: the numbers of its words, of those that were heard in their place, and
    how many are wrong."""

    wanted: range
    heard: range
    errors: int


@dataclass(frozen=True, slots=True)
class Comparison:
    """A text, what was heard of it, and where both differ."""

    wanted: ComparedText
    heard: ComparedText
    differences: Sequence[Difference]

    @property
    def errors(self) -> int:
        return sum(item.errors for item in self.differences)


def read_spoken(text: str, language: str, reading: Reading = "usual") -> ComparedText:
    """The words of a text in plain spelling: English numbers as they are spoken in a reading, without "and", other
    languages without vowel marks.

    >>> read_spoken("4 000 of them!", "en").words, read_spoken("أَهْلًا بكم", "ar").words
    (['four', 'thousand', 'of', 'them'], ['اهلا', 'بكم'])
    >>> read_spoken("a hundred and sixty four", "en").words == read_spoken("164", "en").words
    True
    """
    parts = _PART.findall(_SPACED_NUMBER.sub("", text))
    words: list[str] = []
    places: list[int] = []
    english = is_english(language)
    for place, part in enumerate(parts):
        for word in spoken_forms(part, reading) if english else normalize_words(_without_marks(part), language):
            scaled = english and bool(words)
            if scaled and word in _SCALES and words[-1] in ("a", "an"):
                words[-1] = "one"
            if not (scaled and word == "and" and words[-1] in _SCALES):
                words.append(word)
                places.append(place)
    return ComparedText(parts, words, places)


def compare_by_sound(written: str, heard: str, language: str) -> Comparison:
    """Where what was heard differs from a text, by sound. Of numbers that are heard as digits the reading that is
    nearest counts."""
    wanted = read_spoken(written, language)
    readings = {tuple(item.words): item for item in (read_spoken(heard, language, each) for each in READINGS)}
    found = (
        Comparison(wanted, item, find_differences(wanted.words, item.words, language)) for item in readings.values()
    )
    return min(found, key=lambda comparison: comparison.errors)


def word_sound(word: str, language: str) -> str:
    """The phonemes of an English word, without stress; other words as they are spelt.

    >>> word_sound("their", "en") == word_sound("there", "en-GB"), word_sound("اهلا", "ar")
    (True, 'اهلا')
    """
    return _english_sound(word) if is_english(language) else word


def find_differences(wanted: Sequence[str], heard: Sequence[str], language: str) -> list[Difference]:
    """Where words must be inserted, deleted or replaced, as few as possible, to turn one sequence into another that
    sounds the same.

    Two words are equal to one that sounds like both together.

    >>> find_differences(["any", "thing", "else"], ["anything", "less"], "en")
    [Difference(wanted=range(2, 3), heard=range(1, 2), errors=1)]
    """

    @cache
    def sounds(*words: str) -> set[str]:
        return {word_sound("".join(words), language), "".join(word_sound(word, language) for word in words)}

    @cache
    def same(word: str, *others: str) -> bool:
        return (word,) == others or not sounds(word).isdisjoint(sounds(*others))

    # Each entry is the cost until here, and how many words of both texts the last step takes.
    table: list[list[tuple[int, int, int]]] = [[(place, 0, 1) for place in range(len(heard) + 1)]]
    for at, word in enumerate(wanted, 1):
        row: list[tuple[int, int, int]] = [(at, 1, 0)]
        for place, other in enumerate(heard, 1):
            above = table[at - 1]
            steps = [(above[place - 1][0] + (not same(word, other)), 1, 1)]
            if at > 1 and same(other, wanted[at - 2], word):
                steps.append((table[at - 2][place - 1][0], 2, 1))
            if place > 1 and same(word, heard[place - 2], other):
                steps.append((above[place - 2][0], 1, 2))
            steps += [(above[place][0] + 1, 1, 0), (row[-1][0] + 1, 0, 1)]
            row.append(min(steps, key=lambda step: step[0]))
        table.append(row)
    found: list[Difference] = []
    at, place = len(wanted), len(heard)
    while at or place:
        cost, down, across = table[at][place]
        before, before_place = at - down, place - across
        errors = cost - table[before][before_place][0]
        if errors:
            joined = found and found[-1].wanted.start == at and found[-1].heard.start == place
            last = found.pop() if joined else Difference(range(at, at), range(place, place), 0)
            ranges = range(before, last.wanted.stop), range(before_place, last.heard.stop)
            found.append(Difference(*ranges, last.errors + errors))
        at, place = before, before_place
    return found[::-1]


def _without_marks(text: str) -> str:
    plain = unicodedata.normalize("NFKD", text.translate(_ARABIC))
    return "".join(char for char in plain if not unicodedata.combining(char)).translate(_ARABIC)


@lru_cache(maxsize=65536)
def _english_sound(word: str) -> str:
    phonemes = str(_phonemes()(_NAMES.get(word, word))).translate(_STRESS).replace(" ", "")
    return phonemes.replace("nts", "ns")  # patients, patience


@cache
def _phonemes() -> Any:
    """The pronunciations of the embedded engine."""
    from hibari.g2p import G2P

    return G2P(british=False)
