"""Compares texts by their sound: homophones and other spellings of a word are the same word."""

import re
import unicodedata
from collections.abc import Sequence
from functools import cache, lru_cache
from typing import Any

from voice_core.language import is_english
from voice_core.recognition.recognisers import normalize_words

_SPACED_NUMBER = re.compile(r"(?<=\d)[ \u00a0\u2009\u202f](?=\d{3}(?!\d))")
_STRESS = str.maketrans("", "", "ˈˌː")
_ARABIC = str.maketrans({"أ": "ا", "إ": "ا", "آ": "ا", "ٱ": "ا", "ى": "ي", "ة": "ه", "ـ": None})


def word_sounds(text: str, language: str) -> list[str]:
    """The words of a text by their sound: English ones as phonemes without stress, others as they are spelt, without
    vowel marks.

    >>> word_sounds("4 000 of their pears", "en") == word_sounds("Four thousand of there pairs!", "en-GB")
    True
    >>> word_sounds("أَهْلًا", "ar")
    ['اهلا']
    """
    words = normalize_words(_SPACED_NUMBER.sub("", text), language)
    if is_english(language or "en"):
        return [_english_sound(word) for word in words]
    return [sound for word in words if (sound := _plain(word))]


def count_sound_errors(reference: Sequence[str], hypothesis: Sequence[str]) -> int:
    """How many words must be inserted, deleted or replaced to turn one sequence of sounds into the other. Two words of
    one are equal to a word of the other that sounds like both together.

    >>> count_sound_errors(["any", "thing", "else"], ["anything", "less"]), count_sound_errors(["a", "b"], ["b"])
    (1, 1)
    """
    rows = [list(range(len(hypothesis) + 1))]
    for at, word in enumerate(reference, 1):
        row = [at]
        for place, other in enumerate(hypothesis, 1):
            cost = min(rows[-1][place] + 1, row[-1] + 1, rows[-1][place - 1] + (word != other))
            if at > 1 and reference[at - 2] + word == other:
                cost = min(cost, rows[-2][place - 1])
            if place > 1 and hypothesis[place - 2] + other == word:
                cost = min(cost, rows[-1][place - 2])
            row.append(cost)
        rows = [rows[-1], row]
    return rows[-1][-1]


def _plain(word: str) -> str:
    marks = unicodedata.normalize("NFKD", word.translate(_ARABIC))
    return "".join(char for char in marks if not unicodedata.combining(char)).translate(_ARABIC)


@lru_cache(maxsize=65536)
def _english_sound(word: str) -> str:
    return str(_phonemes()(word)).translate(_STRESS).replace(" ", "")


@cache
def _phonemes() -> Any:
    """The pronunciations of the embedded engine."""
    from hibari.g2p import G2P

    return G2P(british=False)
