"""Lines of plain text that are headings: "CHAPTER IV", "Chapter 4: Title", "الفصل الأول"."""

import re
from collections.abc import Sequence

from voice_core.audiobook.roman_numerals import roman_value

SUBTITLE = 7
"""The level of the line below a heading that only numbers the chapter."""

_UNITS = "one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|(?:thir|four|fif|six|seven|eigh|nine)teen"
_TENS = "twenty|thirty|forty|fifty|sixty|seventy|eighty|ninety"
_ORDINALS = (
    "first|second|third|fourth|fifth|sixth|seventh|eighth|ninth|tenth|eleventh|twelfth|"
    "(?:thir|four|fif|six|seven|eigh|nine)teenth|twentieth|thirtieth|last"
)
_NUMBER = (
    rf"(?:[IVXLCDM]+|\d{{1,4}}|(?i:(?:the\s+)?(?:(?:{_TENS})(?:[-\s](?:{_UNITS}|{_ORDINALS}))?|{_UNITS}|{_ORDINALS})))"
)
_PARTS = "part|book|volume|act"
_CHAPTERS = "chapter|section|scene|letter|stave|canto|episode|appendix"
_ALONE = (
    "prologue|epilogue|introduction|preface|foreword|afterword|conclusion|postscript|interlude|dedication|contents|"
    "table of contents|index|glossary|bibliography|acknowledge?ments|appendix|notes|footnotes|endnotes|copyright|"
    "about the authors?|author['’]s note"
)
_ARABIC_PARTS = "الباب|الجزء|القسم|المجلد|الكتاب"
_ARABIC_CHAPTERS = "الفصل|الحلقة|المشهد|الرسالة"
_ARABIC_ORDINAL = (
    "ال(?:[أا]ول|[أا]ولى|ثاني|ثالث|رابع|خامس|سادس|سابع|ثامن|تاسع|عاشر|حادي|حادية|عشرون|ثلاثون|[أا]ربعون|خمسون|ستون|سبعون|"
    "ثمانون|تسعون|[أا]خير)ة?"
)
_ARABIC_NUMBER = rf"(?:{_ARABIC_ORDINAL}(?:\s+(?:عشرة?|وال\w+))?|[\d٠-٩]{{1,4}})"
_ARABIC_ALONE = "المقدمة|مقدمة|تمهيد|التمهيد|مدخل|خاتمة|الخاتمة|إهداء|الإهداء|الفهرس|المحتويات|الهوامش|المراجع"
_BARE = re.compile(
    rf"(?:(?i:{_PARTS}|{_CHAPTERS})\s+{_NUMBER}|(?:{_ARABIC_PARTS}|{_ARABIC_CHAPTERS})\s+{_ARABIC_NUMBER}|"
    rf"[IVXLCDM]+|\d{{1,4}})\s*[.:]?"
)
_TITLE = r"(?:\s*[.:—–-]+\s*\S.{0,79}|\s+[^a-z]{1,80})?\s*[.:]?"
_ARABIC_TITLE = r"(?:\s*[.:—–-].{1,80})?"
_LEVELS = (
    (1, re.compile(rf"(?i:{_PARTS})\s+{_NUMBER}{_TITLE}|(?:{_ARABIC_PARTS})\s+{_ARABIC_NUMBER}{_ARABIC_TITLE}")),
    (2, re.compile(rf"(?i:{_CHAPTERS})\s+{_NUMBER}{_TITLE}|(?:{_ARABIC_CHAPTERS})\s+{_ARABIC_NUMBER}{_ARABIC_TITLE}")),
    (2, re.compile(rf"(?:(?i:{_ALONE})|{_ARABIC_ALONE})\s*[.:]?")),
)  # fmt: skip
_NUMERAL = re.compile(r"([IVXLC]+)\s*\.?")
_LONGEST = 120


def heading_level(line: str) -> int:
    """1 for parts, 2 for chapters and the like, 0 for lines that are not headings.

    >>> heading_level("PART ONE"), heading_level("CHAPTER IV"), heading_level("Chapter 4: The Sea")
    (1, 2, 2)
    >>> heading_level("الفصل الأول"), heading_level("الباب ٣: البحر"), heading_level("Chapter 4 was the worst of all.")
    (2, 1, 0)
    """
    if len(line) > _LONGEST or not line or line[0].islower():
        return 0
    return next((level for level, pattern in _LEVELS if pattern.fullmatch(line)), 0)


def numbers_chapter(line: str) -> bool:
    """Whether a line is a heading such as "CHAPTER IV"; not "CONTENTS"."""
    return heading_level(line) == 2 and bool(_LEVELS[1][1].fullmatch(line))


def find_numerals(lines: Sequence[str]) -> list[int]:
    """The indexes of lines that are a Roman numeral and nothing else, with blank lines around them, where they count
    from one upwards: chapters without titles.

    >>> find_numerals(["I", "", "Text.", "", "II.", "", "V", ""])
    [0, 4]
    """
    found: list[list[int]] = []
    last = 0
    for i, line in enumerate(lines):
        if not (match := _NUMERAL.fullmatch(line.strip())) or (i and lines[i - 1].strip()):
            continue
        if i + 1 < len(lines) and lines[i + 1].strip():
            continue
        value = roman_value(match[1])
        if value == 1:
            found.append([i])
        elif found and value == last + 1:
            found[-1].append(i)
        else:
            continue
        last = value
    return [i for run in found if len(run) > 1 for i in run]


def is_bare_number(line: str) -> bool:
    """Whether a heading only numbers its chapter.

    >>> is_bare_number("CHAPTER I."), is_bare_number("Chapter 4: The Sea"), is_bare_number("الفصل الأول")
    (True, False, True)
    """
    return bool(_BARE.fullmatch(line))


def is_subtitle(line: str) -> bool:
    """Whether a line below "CHAPTER I" looks like its title: short, capitalised, without the end of a sentence.

    >>> is_subtitle("Down the Rabbit-Hole"), is_subtitle("It was late."), is_subtitle("He went out into")
    (True, False, False)
    """
    words = line.split()
    if len(line) > 70 or not words or re.search(r"[.!?،,;:؟…\"”»]$", line.rstrip()):
        return False
    long = [word for word in words if len(word) > 3 and word[0].isalpha()] or words
    has_case = any(char.isupper() or char.islower() for char in line)
    if not has_case:  # such as Arabic
        return len(words) <= 8
    return 4 * sum(word.lstrip("\"'“‘(")[:1].isupper() for word in long) >= 3 * len(long)
