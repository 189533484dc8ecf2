"""Which words that were heard wrong are errors of the speech, and which of the recogniser.

A recogniser that mishears a word gives the word of the text a high probability as well; a word that is not spoken has
a very low one.
"""

import re
from collections.abc import Sequence

from voice_core.audiobook.validation.sounds import Comparison, Difference

_OUTER = re.compile(r"^\W*(.*?)\W*$", re.DOTALL)
_END = re.compile(r"\W*$")


def corrected_texts(comparison: Comparison) -> list[str]:
    """What was heard, and for each difference what was heard with the words of the text in its place."""
    parts = comparison.heard.parts
    return [" ".join(parts), *(" ".join(_corrected(comparison, item)) for item in comparison.differences)]


def count_confirmed(
    comparison: Comparison, log_probabilities: Sequence[float], language: str, least_log_ratio: float
) -> int:
    """How many wrong words are errors of the speech: the recogniser finds the text less likely than what it heard, by
    at least `least_log_ratio` as a natural logarithm. `log_probabilities` are those of `corrected_texts`.
    """
    heard, *corrected = log_probabilities
    return sum(
        difference.errors
        for difference, likelihood in zip(comparison.differences, corrected, strict=True)
        if _is_end_more(comparison, difference) or heard - likelihood >= least_log_ratio
    )


def _is_end_more(comparison: Comparison, difference: Difference) -> bool:
    """Whether more words are heard at the end than the text has. Without them the text is a part of what was heard, and
    so is never less likely."""
    more = len(difference.heard) > len(difference.wanted)
    return more and difference.heard.stop == len(comparison.heard.words)


def _corrected(comparison: Comparison, difference: Difference) -> Sequence[str]:
    wanted = _parts(comparison.wanted.places, len(comparison.wanted.parts), difference.wanted)
    heard = _parts(comparison.heard.places, len(comparison.heard.parts), difference.heard)
    old = comparison.heard.parts[heard.start : heard.stop]
    new = [_bare(part) for part in comparison.wanted.parts[wanted.start : wanted.stop]]
    if new and old:
        new[-1] += _END.search(old[-1])[0]  # type: ignore[index]
        new[0] = new[0][:1].upper() + new[0][1:] if old[0][:1].isupper() else new[0]
    return [*comparison.heard.parts[: heard.start], *new, *comparison.heard.parts[heard.stop :]]


def _parts(places: Sequence[int], count: int, words: range) -> range:
    """The parts of a text that have these words; for no words, the place before the next one."""
    start = places[words.start] if words.start < len(places) else count
    return range(start, places[words.stop - 1] + 1 if words else start)


def _bare(part: str) -> str:
    return _OUTER.sub(r"\1", part)
