"""Which words that were heard wrong are errors of the speech, and which of the recogniser.

A recogniser that mishears a word gives the word of the text a high probability as well; a word that is not spoken has
a very low one. Rare words and names, which it spells in its own way, have a low one too, but sound nearly the same.
"""

import re
from collections.abc import Sequence

from voice_core.audiobook.validation.sounds import Comparison, Difference, word_sound
from voice_core.recognition.recognisers import count_word_errors

_NEAR = 0.4  # share of the phonemes that differ, up to which words sound nearly the same
_NEAR_FACTOR = 3.0  # of the least ratio for these
_OUTER = re.compile(r"^\W*(.*?)\W*$", re.DOTALL)
_END = re.compile(r"\W*$")
_DASHES = "-–—"


def corrected_texts(comparison: Comparison) -> list[str]:
    """What was heard, and for each difference what was heard with the words of the text in its place."""
    return ["".join(comparison.heard.parts), *(_correct(comparison, item) for item in comparison.differences)]


def count_confirmed(
    comparison: Comparison, log_probabilities: Sequence[float], language: str, least_log_ratio: float
) -> int:
    """How many wrong words are errors of the speech: the recogniser finds the text less likely than what it heard, by
    at least `least_log_ratio` as a natural logarithm, or three times that for words that sound nearly the same.
    `log_probabilities` are those of `corrected_texts`.
    """
    heard, *corrected = log_probabilities
    return sum(
        difference.errors
        for difference, likelihood in zip(comparison.differences, corrected, strict=True)
        if _is_end_more(comparison, difference)
        or heard - likelihood >= least_log_ratio * (_NEAR_FACTOR if _is_near(comparison, difference, language) else 1)
    )


def _is_end_more(comparison: Comparison, difference: Difference) -> bool:
    """Whether more words are heard at the end than the text has. Without them the text is a part of what was heard, and
    so is never less likely."""
    more = len(difference.heard) > len(difference.wanted)
    return more and difference.heard.stop == len(comparison.heard.words)


def _is_near(comparison: Comparison, difference: Difference, language: str) -> bool:
    wanted, heard = (
        "".join(word_sound(word, language) for word in words[numbers.start : numbers.stop])
        for words, numbers in (
            (comparison.wanted.words, difference.wanted),
            (comparison.heard.words, difference.heard),
        )
    )
    return count_word_errors(wanted, heard) <= _NEAR * max(len(wanted), len(heard))


def _correct(comparison: Comparison, difference: Difference) -> str:
    wanted = _parts(comparison.wanted.places, len(comparison.wanted.parts), difference.wanted)
    heard = _parts(comparison.heard.places, len(comparison.heard.parts), difference.heard)
    parts = comparison.heard.parts
    old = "".join(parts[heard.start : heard.stop]).strip()
    new = " ".join(_OUTER.sub(r"\1", part) for part in comparison.wanted.parts[wanted.start : wanted.stop])
    if new and old:
        end = _END.search(old)
        new = (new[:1].upper() + new[1:] if old[:1].isupper() else new) + (end[0] if end else "")
    text = ""
    for piece in ("".join(parts[: heard.start]).strip(), new, "".join(parts[heard.stop :]).strip()):
        text += piece if not text or text[-1] in _DASHES else f" {piece}" if piece else ""
    return text


def _parts(places: Sequence[int], count: int, words: range) -> range:
    """The parts of a text that have these words; for no words, the place before the next one."""
    start = places[words.start] if words.start < len(places) else count
    return range(start, places[words.stop - 1] + 1 if words else start)
