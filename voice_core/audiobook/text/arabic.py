"""Arabic text as it is spoken: numbers, dates, money, units, abbreviations.

The library arabic-tts-frontend says only what it makes of a text, not where. So texts are compared word by word.
"""

import difflib
import re
from collections.abc import Iterator
from functools import lru_cache

from arabic_tts_frontend import VoiceFrontEnd, fold_digits, verbalise

from voice_core.audiobook.text.edits import Edit, merge_edits, sort_edits

_DIGIT = r"[0-9٠-٩]"
_NEEDS_LIBRARY = re.compile(r"[0-9٠-٩۰-۹%٪°&+×÷=€£¥$²³]|[A-Za-z]{2,}|\w\.\w|(?<!\w)[\u0621-\u064a]\.|هـ|إلخ")
_TOKEN = re.compile(r"\S+")
_YEAR_WORDS = "عام|سنة|العام|السنة|القرن|قرن|عامي|سنتي|حوالي"
# "م" after a year is the era, after a small number the metre. The library reads "م." as an engineer's title.
_ERA = re.compile(r"(?<=[0-9٠-٩])(?P<space>\s*)م(?P<stop>\.?)(?!\w)(?!²|³)")
_BEFORE_ERA = re.compile(rf"(?:(?P<word>{_YEAR_WORDS})\s+)?(?P<number>{_DIGIT}+)\s*$")
_HIJRI = re.compile(r"(?<=[0-9٠-٩])(?P<space>\s*)هـ(?P<stop>\.?)(?!\w)")
_FIXED = (
    (re.compile(r"(?<!\w)أ\.\s?د\.?(?=\s)"), "الأستاذ الدكتور"),
    (re.compile(r"(?<!\w)ق\.\s?م\.?(?!\w)"), "قبل الميلاد"),
    (re.compile(r"(?<!\w)ص\.?\s?(?=[0-9٠-٩])"), "صفحة "),
    (re.compile(r"(?<=[0-9٠-٩])\s?كم²"), " كيلومتر مربع"),
    (re.compile(r"(?<=[0-9٠-٩])\s?م²"), " متر مربع"),
    (re.compile(r"(?<=[0-9٠-٩])\s?م³"), " متر مكعب"),
)
_FIRST_YEAR = 1000
_NUMBER = re.compile(rf"{_DIGIT}+")
_LONGEST_NUMBER = 12  # digits


def find_arabic_edits(text: str) -> list[Edit]:
    """What is spoken in other words.

    >>> from voice_core.audiobook.text.edits import apply_edits
    >>> apply_edits("وصل عام 1935 م.", find_arabic_edits("وصل عام 1935 م."))[0]
    'وصل عام ألف وتسعمئة وخمسة وثلاثون ميلادية.'
    """
    if not _NEEDS_LIBRARY.search(text):
        return []
    edits = merge_edits(text, sort_edits(_find_own_edits(text)), _ask_library)
    edits = merge_edits(text, edits, _find_plain_numbers)
    return [edit for edit in edits if edit.spoken != text[edit.start : edit.end]]


def _find_own_edits(text: str) -> Iterator[Edit]:
    for match in _ERA.finditer(text):
        before = _BEFORE_ERA.search(text, max(0, match.start() - 40), match.start())
        is_year = bool(before and (before["word"] or int(before["number"]) >= _FIRST_YEAR))
        # A stop is the sentence's, unless the abbreviation goes on ("م.ع").
        yield Edit(match.start(), match.end() - len(match["stop"]), " ميلادية" if is_year else " متر")
        if match["stop"]:
            yield Edit(match.end() - 1, match.end(), ".")
    for match in _HIJRI.finditer(text):
        yield Edit(match.start(), match.end() - len(match["stop"]), " هجرية")
    for pattern, spoken in _FIXED:
        for match in pattern.finditer(text):
            yield Edit(match.start(), match.end(), spoken)


def _find_plain_numbers(text: str) -> list[Edit]:
    """Numbers that the library does not find, such as those with a letter next to them."""
    return [
        Edit(match.start(), match.end(), verbalise(int(fold_digits(match[0]))))
        for match in _NUMBER.finditer(text)
        if len(match[0]) <= _LONGEST_NUMBER
    ]


def _ask_library(text: str) -> list[Edit]:
    """The words that the library changes. White space and punctuation of the text are kept."""
    spoken = _front_end().prepare(text).spoken
    source = list(_TOKEN.finditer(text))
    words = [match[0] for match in source]
    spoken_words = spoken.split()
    if words == spoken_words:
        return []
    edits: list[Edit] = []
    matcher = difflib.SequenceMatcher(None, words, spoken_words, autojunk=False)
    for kind, start, end, spoken_start, spoken_end in matcher.get_opcodes():
        replacement = " ".join(spoken_words[spoken_start:spoken_end])
        if kind == "equal":
            continue
        if start < end and replacement:
            edits.append(_without_equal_ends(text, source[start].start(), source[end - 1].end(), replacement))
        elif start < end:  # punctuation on its own, which the library joins to the word before
            continue
        elif edits:
            last = edits[-1]
            edits[-1] = Edit(last.start, last.end, f"{last.spoken} {replacement}")
        else:
            return []
    return [edit for edit in edits if edit.start < edit.end]


def _without_equal_ends(text: str, start: int, end: int, spoken: str) -> Edit:
    """The edit without the punctuation that both texts begin and end with."""
    while end > start and spoken and text[end - 1] == spoken[-1] and not spoken[-1].isalnum():
        end, spoken = end - 1, spoken[:-1]
    while end > start and spoken and text[start] == spoken[0] and not spoken[0].isalnum():
        start, spoken = start + 1, spoken[1:]
    return Edit(start, end, spoken)


@lru_cache(maxsize=1)
def _front_end() -> VoiceFrontEnd:
    front_end = VoiceFrontEnd()
    # An initial before a name is more often just that.
    front_end.lexicon.entries.pop("م.", None)
    front_end.lexicon.update({})
    return front_end
