"""Figures of Arabic that the library arabic-tts-frontend reads as plain numbers: hours, ordinals, ranges, dates."""

import re
from collections.abc import Callable, Iterator

from arabic_tts_frontend import fold_digits

from voice_core.audiobook.text.edits import Edit

_DIGIT = r"[0-9٠-٩]"
# "م" and "ص" after an hour are the halves of the day.
_HOUR = re.compile(
    rf"(?<=الساعة)(?P<space>\s+)(?P<hour>{_DIGIT}{{1,2}})(?:(?P<half>\s*[صم])(?!\w)(?!\.\w))?(?![:٫.]?{_DIGIT})"
)
_HALVES = {"ص": "صباحا", "م": "مساء"}
_HALF_AFTER_TIME = re.compile(rf"(?<=:{_DIGIT}{{2}})\s*(?P<half>[صم])(?!\w)(?!\.\w)")
_HOURS = (
    *("الواحدة", "الثانية", "الثالثة", "الرابعة", "الخامسة", "السادسة", "السابعة", "الثامنة", "التاسعة", "العاشرة"),
    *("الحادية عشرة", "الثانية عشرة"),
)
_ORDINALS = (
    *("الأول", "الثاني", "الثالث", "الرابع", "الخامس", "السادس", "السابع", "الثامن", "التاسع", "العاشر"),
    *("الحادي عشر", "الثاني عشر", "الثالث عشر", "الرابع عشر", "الخامس عشر", "السادس عشر", "السابع عشر", "الثامن عشر"),
    "التاسع عشر",
)
_UNITS = ("الحادي", *_ORDINALS[1:9])
_TENS = ("العشر", "الثلاث", "الأربع", "الخمس", "الست", "السبع", "الثمان", "التسع")
_COUNTED = "الفصل|الباب|الجزء|القرن|الطابق|المجلد|الدرس|القسم|المشهد|اليوم"
_ORDINAL = re.compile(
    rf"(?P<before>\S+\s+)?(?<!\w)(?:[وفبلك]?(?:{_COUNTED}))\s+(?P<number>(?:الـ?)?{_DIGIT}{{1,2}})(?![\w٫.,:/–-])"
)
_PREPOSITION = re.compile("في|من|إلى|على|عن|حتى|منذ|خلال|أواخر|أوائل|منتصف|نهاية|بداية|مطلع")
_RANGE = re.compile(rf"(?<![\w.,:/٫–-]){_DIGIT}{{1,4}}(?P<dash>\s?[-–]\s?){_DIGIT}{{1,4}}(?![\w:/–-])")
_ISO_DATE = re.compile(rf"(?<![\w.,:/٫–-])({_DIGIT}{{4}})-({_DIGIT}{{2}})-({_DIGIT}{{2}})(?![\w:/–-])")
_PARTS = {"1/2": "نصف", "1/3": "ثلث", "2/3": "ثلثان", "1/4": "ربع", "3/4": "ثلاثة أرباع"}
_PART = re.compile(rf"(?<![\w.,:/٫–-]){_DIGIT}/{_DIGIT}(?![\w:/–-])")


def find_figures(text: str, read_date: Callable[[str], str]) -> Iterator[Edit]:
    """The edits of the rules above. `read_date` says a date such as 1/5/2024, the day first."""
    yield from _find_times(text)
    for match in _ORDINAL.finditer(text):
        number = int(re.sub(r"\D", "", fold_digits(match["number"])))
        if spoken := _say_ordinal(number, genitive=bool(_PREPOSITION.fullmatch((match["before"] or "").strip()))):
            yield Edit(match.start("number"), match.end("number"), spoken)
    for match in _RANGE.finditer(text):
        yield Edit(match.start("dash"), match.end("dash"), " إلى ")
    for match in _ISO_DATE.finditer(text):
        year, month, day = (int(fold_digits(part)) for part in match.groups())
        if 1 <= month <= 12 and 1 <= day <= 31:
            yield Edit(match.start(), match.end(), read_date(f"{day}/{month}/{year}"))
    for match in _PART.finditer(text):
        if spoken := _PARTS.get(fold_digits(match[0]), ""):
            yield Edit(match.start(), match.end(), spoken)


def _find_times(text: str) -> Iterator[Edit]:
    for match in _HOUR.finditer(text):
        hour = int(fold_digits(match["hour"]))
        if 1 <= hour <= len(_HOURS):
            yield Edit(match.start("hour"), match.end("hour"), _HOURS[hour - 1])
        if match["half"]:
            yield Edit(match.start("half"), match.end("half"), f" {_HALVES[match['half'].strip()]}")
    for match in _HALF_AFTER_TIME.finditer(text):
        yield Edit(match.start(), match.end(), f" {_HALVES[match['half']]}")


def _say_ordinal(number: int, *, genitive: bool) -> str:
    """
    >>> _say_ordinal(3, genitive=False), _say_ordinal(21, genitive=True)
    ('الثالث', 'الحادي والعشرين')
    """
    if not 0 < number < 100:
        return ""
    if number <= len(_ORDINALS):
        return _ORDINALS[number - 1]
    tens, unit = divmod(number, 10)
    ten = _TENS[tens - 2] + ("ين" if genitive else "ون")
    return f"{_UNITS[unit - 1]} و{ten}" if unit else ten
