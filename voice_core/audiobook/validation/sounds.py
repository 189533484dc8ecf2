"""Compares texts by their sound: homophones and other spellings of a word are the same word."""

import re
import unicodedata
from collections.abc import Sequence
from functools import cache, lru_cache
from typing import Any

from voice_core.language import is_english
from voice_core.recognition.recognisers import normalize_words
from voice_core.recognition.text_words import READINGS, Reading, split_words, spoken_forms

_SPACED_NUMBER = re.compile(r"(?<=\d)[ \u00a0\u2009\u202f](?=\d{3}(?!\d))")
_SCALES = ("hundred", "thousand", "million")
_STRESS = str.maketrans("", "", "ˈˌː")
_ARABIC = str.maketrans({"أ": "ا", "إ": "ا", "آ": "ا", "ٱ": "ا", "ى": "ي", "ة": "ه", "ـ": None})


def spoken_words(text: str, language: str, reading: Reading = "usual") -> list[str]:
    """The words of a text in plain spelling: English numbers as they are spoken in a reading, without "and", other
    languages without vowel marks.

    >>> spoken_words("4 000 of them!", "en"), spoken_words("أَهْلًا بكم", "ar")
    (['four', 'thousand', 'of', 'them'], ['اهلا', 'بكم'])
    >>> spoken_words("a hundred and sixty four", "en") == spoken_words("164", "en")
    True
    """
    text = _SPACED_NUMBER.sub("", text)
    if not is_english(language):
        return normalize_words(_without_marks(text), language)
    words: list[str] = []
    for word in (form for part in split_words(text) for form in spoken_forms(part, reading)):
        if word in _SCALES and words and words[-1] == "a":
            words[-1] = "one"
        if word != "and" or not words or words[-1] not in _SCALES:
            words.append(word)
    return words


def count_errors(written: str, heard: str, language: str) -> tuple[int, int]:
    """How many words of a text were heard wrong, by sound, and how many words it has. Of numbers that are heard as
    digits the reading that is nearest counts."""
    wanted = spoken_words(written, language)
    readings = {tuple(spoken_words(heard, language, reading)) for reading in READINGS}
    return min(count_sound_errors(wanted, words, language) for words in readings), len(wanted)


def word_sound(word: str, language: str) -> str:
    """The phonemes of an English word, without stress; other words as they are spelt.

    >>> word_sound("their", "en") == word_sound("there", "en-GB"), word_sound("اهلا", "ar")
    (True, 'اهلا')
    """
    return _english_sound(word) if is_english(language) else word


def count_sound_errors(reference: Sequence[str], hypothesis: Sequence[str], language: str) -> int:
    """How many words must be inserted, deleted or replaced to turn one sequence into another that sounds the same.

    Two words are equal to one that sounds like both together.

    >>> count_sound_errors(["any", "thing", "else"], ["anything", "less"], "en")
    1
    """

    @cache
    def sounds(*words: str) -> set[str]:
        return {word_sound("".join(words), language), "".join(word_sound(word, language) for word in words)}

    @cache
    def same(word: str, *others: str) -> bool:
        return (word,) == others or not sounds(word).isdisjoint(sounds(*others))

    last: list[int] = []
    row = list(range(len(hypothesis) + 1))
    for at, word in enumerate(reference, 1):
        before, last, row = last, row, [at]
        for place, other in enumerate(hypothesis, 1):
            cost = min(last[place] + 1, row[-1] + 1, last[place - 1] + (not same(word, other)))
            if at > 1 and before[place - 1] < cost and same(other, reference[at - 2], word):
                cost = before[place - 1]
            if place > 1 and last[place - 2] < cost and same(word, hypothesis[place - 2], other):
                cost = last[place - 2]
            row.append(cost)
    return row[-1]


def _without_marks(text: str) -> str:
    plain = unicodedata.normalize("NFKD", text.translate(_ARABIC))
    return "".join(char for char in plain if not unicodedata.combining(char)).translate(_ARABIC)


@lru_cache(maxsize=65536)
def _english_sound(word: str) -> str:
    return str(_phonemes()(word)).translate(_STRESS).replace(" ", "")


@cache
def _phonemes() -> Any:
    """The pronunciations of the embedded engine."""
    from hibari.g2p import G2P

    return G2P(british=False)
