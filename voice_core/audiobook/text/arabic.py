"""Arabic text as it is spoken: numbers, dates, money, units, abbreviations.

The library arabic-tts-frontend says only what it makes of a text, not where. So texts are compared word by word.
"""

import difflib
import re
import unicodedata
from collections.abc import Iterator
from dataclasses import replace
from functools import lru_cache
from itertools import pairwise

from arabic_tts_frontend import VoiceFrontEnd, fold_digits, verbalise

from voice_core.audiobook.text.arabic_figures import find_figures
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
_FRACTIONS = {"½": "نصف", "¼": "ربع", "¾": "ثلاثة أرباع", "⅓": "ثلث", "⅔": "ثلثان", "⅛": "ثمن"}
_FRACTION = re.compile("[½¼¾⅓⅔⅛]")
_MINUS = re.compile(rf"(?<!\S)[-−](?={_DIGIT})")
_DECIMAL = re.compile(rf"(?<!{_DIGIT})({_DIGIT}+)[٫.]({_DIGIT}+)(?![\d٠-٩.٫])")
_GROUPED = re.compile(rf"(?<!{_DIGIT}){_DIGIT}{{1,3}}(?:٬{_DIGIT}{{3}})+(?!{_DIGIT})")
# Letters as old fonts have them, ligatures such as ﷺ, and the line that only lengthens a word.
_FORMS = re.compile(
    r"[\ufdf0-\ufdfd]|[^\W\d\u0640]*(?:[\ufb50-\ufdef\ufe70-\ufefc]|(?<=[\u0621-\u064a])\u0640+(?=[\u0621-\u064a]))"
    r"[^\W\d]*"
)
_BASMALA = "بسم الله الرحمن الرحيم"
# "و", "ف", "ب", "ل", "ك" and "ال" are written together with a number.
_PREFIX = re.compile(rf"(?<!\w)[وفبلك]?(?:ال|لل)?ـ?(?={_DIGIT})(?<=\w)")
_YEAR_DIGITS = 4
_NUMBER = re.compile(rf"{_DIGIT}+")
_LATIN_NEXT = re.compile(r"[A-Za-z]")
_OWN_NUMBER = re.compile(rf"(?<![A-Za-z\d]){_DIGIT}+(?![A-Za-z\d])")
_LONGEST_NUMBER = 12  # digits; a longer one is said digit by digit


def find_arabic_edits(text: str) -> list[Edit]:
    """What is spoken in other words.

    >>> from voice_core.audiobook.text.edits import apply_edits
    >>> apply_edits("وصل عام 1935 م.", find_arabic_edits("وصل عام 1935 م."))[0]
    'وصل عام ألف وتسعمئة وخمسة وثلاثون ميلادية.'
    """
    if not _NEEDS_LIBRARY.search(text) and not _FORMS.search(text) and not _FRACTION.search(text):
        return []
    edits = merge_edits(text, sort_edits(_find_own_edits(text)), _ask_without_prefixes)
    edits = merge_edits(text, edits, _find_plain_numbers)
    edits = [
        replace(edit, spoken=_OWN_NUMBER.sub(_say_match, edit.spoken)) for edit in edits
    ]  # the library leaves some
    return [edit for edit in edits if edit.spoken != text[edit.start : edit.end]]


def _find_own_edits(text: str) -> Iterator[Edit]:
    yield from find_figures(text, _read_date)
    for match in _ERA.finditer(text):
        before = _BEFORE_ERA.search(text, max(0, match.start() - 40), match.start())
        is_year = bool(before and (before["word"] or len(before["number"]) >= _YEAR_DIGITS))
        # A stop is the sentence's, unless the abbreviation goes on ("م.ع").
        yield Edit(match.start(), match.end() - len(match["stop"]), " ميلادية" if is_year else " متر")
        if match["stop"]:
            yield Edit(match.end() - 1, match.end(), ".")
    for match in _HIJRI.finditer(text):
        yield Edit(match.start(), match.end() - len(match["stop"]), " هجرية")
    for match in _FORMS.finditer(text):
        plain = unicodedata.normalize("NFKC", match[0]).replace("\u0640", "")
        yield Edit(match.start(), match.end(), _BASMALA if plain == "\ufdfd" else plain)
    for match in _FRACTION.finditer(text):
        yield Edit(match.start(), match.end(), _FRACTIONS[match[0]])
    for match in _MINUS.finditer(text):
        yield Edit(match.start(), match.end(), "سالب ")
    for match in _GROUPED.finditer(text):
        yield Edit(match.start(), match.end(), _say(match[0].replace("٬", "")))
    for match in _DECIMAL.finditer(text):
        if "٫" in match[0] or fold_digits(match[2]).startswith("0"):
            yield Edit(match.start(), match.end(), f"{_say(match[1])} فاصلة {_say_decimals(match[2])}")
    for pattern, spoken in _FIXED:
        for match in pattern.finditer(text):
            yield Edit(match.start(), match.end(), spoken)


def _find_plain_numbers(text: str) -> list[Edit]:
    """Numbers that the library does not find, such as those with a letter next to them."""
    return [
        Edit(match.start(), match.end(), _say(match[0]))
        for match in _NUMBER.finditer(text)
        if not _LATIN_NEXT.search(text[max(0, match.start() - 1) : match.end() + 1])
    ]


def _read_date(date: str) -> str:
    return str(_front_end().prepare(date).spoken)


def _say(digits: str) -> str:
    folded = fold_digits(digits)
    if len(folded) > _LONGEST_NUMBER:
        return " ".join(verbalise(int(digit)) for digit in folded)
    return verbalise(int(folded))


def _say_decimals(digits: str) -> str:
    """What is after a decimal point: zeros one by one, then a number."""
    rest = fold_digits(digits).lstrip("0")
    return " ".join([*["صفر"] * (len(digits) - len(rest)), *([_say(rest)] if rest else [])])


def _say_match(match: re.Match[str]) -> str:
    return _say(match[0])


def _ask_without_prefixes(text: str) -> list[Edit]:
    """The edits of the library, which does not find numbers that are written together with a word before them."""
    cuts = [match.end() for match in _PREFIX.finditer(text)]
    if not cuts:
        return _ask_library(text)
    parts = [text[start:end] for start, end in pairwise([0, *cuts, len(text)])]

    def position(at: int) -> int:
        """In `text`, of a position in the text with spaces."""
        return at - sum(1 for number, cut in enumerate(cuts) if cut + number < at)

    edits = _ask_library(" ".join(parts))
    moved = [Edit(position(edit.start), position(edit.end), edit.spoken) for edit in edits]
    return sort_edits(moved)


def _ask_library(text: str) -> list[Edit]:
    """The words that the library changes. White space and punctuation of the text are kept."""
    try:
        spoken = _front_end().prepare(text).spoken
    except ValueError:  # a number of more digits than integers in Python may have
        return []
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
