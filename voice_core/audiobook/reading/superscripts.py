"""Numbers and signs above the line: marks of notes, or powers."""

import re
import unicodedata

SUPERSCRIPTS = str.maketrans("0123456789٠١٢٣٤٥٦٧٨٩-−–", "⁰¹²³⁴⁵⁶⁷⁸⁹⁰¹²³⁴⁵⁶⁷⁸⁹⁻⁻⁻")
RAISED = re.compile(r"[\[(]?(?:[-−–]?[\d٠-٩]{1,3}|[*†‡§‖¶]{1,3}|[a-h])[\])]?(?:\s?[,–-]\s?\d{1,3})*\s?[,;]?")
"""Text above the line that this module decides about."""
CONTEXT = 60
"""Characters before a number that are looked at."""

_LETTERS = re.compile(r"[^\W\d_¼-¾⅐-⅞]+$")
_UNIT = re.compile(
    r"(?:\d\s?|\bper\s|\bsq\.?\s|/)(?:in|mi|yd|ft|feet|foot|inch(?:es)?|miles?|yards?|met(?:er|re)s?|(?:in|mi|yd|ft)\.)$"
    r"|(?<![^\W\d_])(?:كم|سم|مم|متر|أمتار)$"
)
_FUNCTION = re.compile(r"(?<![^\W_])(?:sin|cos|tan|cot|sec|csc|log|ln|sinh|cosh|tanh)$")
_ARGUMENT = re.compile(r"\s?(?:[^\W\d_](?![^\W_])|[\d(])")
_OPERATOR_BEFORE = re.compile(r"[=+−×·÷√^≤≥≈]\s?[^\W\d_]+$")
_OPERATOR_AFTER = re.compile(r"\s?[=+−×·÷^≤≥≈]")
_YEAR = re.compile(r"(?<![\d.,])(?:1\d|20)\d\d(?:[–-]\d\d)?$")
_BASE = re.compile(r"(?<![\d.,])(?:10|\d)$")  # of powers of ten, and small ones
_NUMERAL = re.compile(r"[^\W\d_]{2}\s[IVX]$")  # "Charles I", "he and I"
_WORDS = re.compile(r"[^\W\d_]{4}|[^\W\d_]{2}\s+[^\W\d_]{2}")
_LETTER_SET_APART = re.compile(r"(?<![^\W_])[b-z]\s$")
_ISOTOPE = re.compile(r"(?:C|U|He|Pu|Cs|Sr|K|Co|Ra|Rn)(?![^\W_])")
_AFTER_WORD = re.compile(r"(?:[a-z]{4}|[.,;:!?…”’»])$")  # not after "n" of "no", "XIX", "Mr"
_SINGLE_LETTER = re.compile(r"(?<![^\W_])[^\W\d_]$")
_FRACTION = re.compile(r"[/⁄][\d₀-₉]")
_ENDINGS = frozenset(["s", "st", "nd", "rd", "th"])  # "the 1920s"
_SHORT = 3  # letters of names in formulas: "mc", "km"


def is_figure(raised: str, after: str) -> bool:
    """Whether a raised number is the upper part of a fraction, or that of an isotope, by the text after it.

    >>> is_figure("1", "/2 cup"), is_figure("14", "C is"), is_figure("14", "And")
    (True, True, False)
    """
    return bool(_FRACTION.match(after)) or (len(raised) > 1 and bool(_ISOTOPE.match(after)))


def is_note_mark(before: str, raised: str, after: str, expected: int = 0) -> bool:
    """Whether a number or sign above the line is the mark of a note, and no power, by the text around it.

    A mark follows a word, a year or the end of a clause. A power follows a figure, a letter, a unit or a formula.
    `expected` is the number of the next mark, 0 where none came before: after a figure only that is a mark, and 1.

    >>> [is_note_mark(before, "2", "") for before in ("He left.", "the king", "in 1914", "(he knew)", "")]
    [True, True, True, True, True]
    >>> [is_note_mark(before, "2", "") for before in ("E = mc", "πr", "x", "10", "5 km", "(a + b)")]
    [False, False, False, False, False, False]
    """
    if raised[:1] in "([":
        return True
    if raised.isalpha():
        return bool(_AFTER_WORD.search(before))
    if not any(map(str.isalnum, raised)):
        return raised[:1] != "*" or not _SINGLE_LETTER.search(before)
    if raised[:1] in "-−–⁻" or is_figure(raised, after):
        return False
    base = before.rstrip()
    if base != before and not (base[-1:].isdigit() or _LETTER_SET_APART.search(before)):
        return True
    if not base:
        return True
    if base[-1].isdigit():
        is_next = number_of(raised) in (1, expected) and not _BASE.search(base) and not _OPERATOR_AFTER.match(after)
        return is_next or bool(_YEAR.search(base))
    if base[-1] in ")]":
        start = base.rfind("(" if base[-1] == ")" else "[")
        inside = base[start + 1 : -1]
        return start < 0 or bool(_WORDS.search(inside) or _YEAR.search(inside))
    if base[-1] == "." and _UNIT.search(base):
        return False
    letters = _LETTERS.search(base)
    return letters is None or not _is_formula(base, letters[0], after)


def number_of(raised: str) -> int:
    """The first number of raised text; 0 for signs."""
    found = re.search(r"\d+", unicodedata.normalize("NFKC", raised))
    return int(found[0]) if found else 0


def _is_formula(before: str, letters: str, after: str) -> bool:
    """Whether `letters`, the end of `before`, are a unit or a part of a formula."""
    preceding = before[: -len(letters)][-1:]
    if preceding in ("'", "’", "&") or (preceding == "." and letters.isupper()):  # "the king's", "R&D", "U.S.A"
        return False
    if preceding.isdigit() and letters in _ENDINGS:
        return False
    if _UNIT.search(before) or _OPERATOR_BEFORE.search(before) or _OPERATOR_AFTER.match(after):
        return True
    if _FUNCTION.search(before) and _ARGUMENT.match(after):
        return True
    if len(letters) > _SHORT:
        return False
    if len(letters) == 1:
        return after[:1].isalpha() or not _NUMERAL.search(before)
    if preceding.isnumeric() or after[:1].isalpha():
        return True
    greek = sum("\u0370" <= char <= "\u03ff" for char in letters)
    if greek:
        return greek < len(letters) or len(letters) < _SHORT
    plain = unicodedata.normalize("NFD", letters.lower())
    return plain.isascii() and not letters.isupper() and not set(plain) & set("aeiouy")
