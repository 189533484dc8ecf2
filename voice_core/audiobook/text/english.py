"""English text as it is spoken: numbers, dates, money, abbreviations, Roman numerals, signs.

The library spokenform does most of it. The rules here come first: they say what it leaves or reads wrongly in books.
"""

import re
import unicodedata
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from voice_core.audiobook.letters import letters_of
from voice_core.audiobook.roman_numerals import ROMAN, roman_value
from voice_core.audiobook.text.edits import Edit, merge_edits, sort_edits
from voice_core.audiobook.text.english_ambiguous import find_ambiguous
from voice_core.audiobook.text.signs import find_signs
from voice_core.recognition.text_words import spoken_forms

if TYPE_CHECKING:
    import spokenform

_TITLES = {
    "Mr": "Mister", "Mrs": "Missus", "Ms": "Ms", "Dr": "Doctor", "Messrs": "Messers", "Mme": "Madame",
    "Mmes": "Mesdames", "Mlle": "Mademoiselle",
}  # fmt: skip
_ABBREVIATIONS = {
    "&c.": "et cetera",
    "&c": "et cetera",
    "E.g.": "For example",
    "I.e.": "That is",
    "Nos.": "Numbers",
    "nos.": "numbers",
}
_UNITS = {
    "km": "kilometer", "cm": "centimeter", "mm": "millimeter", "kg": "kilogram", "mg": "milligram", "ml": "milliliter",
    "lbs": "pound", "lb": "pound", "oz": "ounce", "yd": "yard", "yds": "yard", "mi": "mile",
}  # fmt: skip
_SIGNS = {"&": "and", "©": "copyright", "®": "registered", "™": "trademark", "×": "times", "÷": "divided by"}
_REFERENCES = {
    "§": "section", "§§": "sections", "¶": "paragraph", "№": "number", "p.": "page", "pp.": "pages", "vol.": "volume",
    "vols.": "volumes", "ch.": "chapter", "chap.": "chapter", "chaps.": "chapters", "sec.": "section", "bk.": "book",
}  # fmt: skip
_PARTS = (
    "chapter|book|part|volume|section|act|scene|canto|letter|stave|article|appendix|plate|figure|table|lesson|psalm|"
    "number"
)
_RULERS = (
    "Louis|Henry|Edward|Charles|George|William|James|Richard|John|Elizabeth|Mary|Philip|Napoleon|Pius|Leo|Gregory|Paul|"
    "Benedict|Innocent|Clement|Urban|Alexander|Nicholas|Peter|Catherine|Frederick|Ferdinand|Francis|Ramses|Ptolemy"
)
_LARGEST_HEADING = 399  # a heading such as "MIX" is rather a word

_TITLE = re.compile(rf"\b({'|'.join(_TITLES)})\.?(?=\s(?:[A-Z“\"]|and\s(?:M[a-z]+|Dr)\b))")
_UNIT = re.compile(rf"(?<![\w.,])([\d.,]*\d)(\s?)({'|'.join(sorted(_UNITS, key=len, reverse=True))})(\.?)(?![\w²³/])")
_SIGN = re.compile(rf"(?:(?<=\s)|(?<=^))({'|'.join(map(re.escape, _SIGNS))})(?=\s)|[©®™]|×(?=\s?\d)")
_REFERENCE = re.compile(
    rf"(?<![\w.])({'|'.join(map(re.escape, sorted(_REFERENCES, key=len, reverse=True)))})\s?(?=\d|[ivxlcIVXLC]+\b)",
    re.I,
)
_ABBREVIATION = re.compile(rf"(?<!\w)(?:{'|'.join(map(re.escape, _ABBREVIATIONS))})(?!\w)")
_GROUPED = re.compile(
    r"(?<![\d.,])[1-9]\d{0,2}(?:[\u00a0\u2009\u202f]\d{3})+(?!\d)|(?<![\d.,])[1-9]\d{0,2}(?: 000)+(?!\d)"
)
_PENCE = re.compile(r"(?<![\w.,£])(?:(?P<s>\d{1,2})(?P<sh>s\.)\s?)?(?P<d>\d{1,2})(?P<pence>d\.)")
_FEET = re.compile(r"(?<![\w.,])\d(?P<feet>['’′])(?P<number>\d{1,2})(?P<inches>[\"”″])")
_SHILLINGS = re.compile(r"£\s?\d[\d,]*\s+(?P<s>\d{1,2})(?P<sh>\s?s\b\.?)(?:\s+(?P<d>\d{1,2})(?P<pence>\s?d\b\.?))?")
_OLD_POUNDS = re.compile(r"(?<![\w.,])\d[\d,]*(\s?l\.)(?=[\s,;])")
_DECADE = re.compile(r"(?<![\w.,£])[’']?((?:1\d|20)\d0|[2-9]0)[’']?s\b(?!\.\s?\d)")
# What follows "I" where it is no numeral.
_PRONOUN = re.compile(
    r"\s+(?!(?:of|and|or|in|to|scene|part|chapter|verse|page)\b)[a-z]|[’']"
)  # what follows "I" where it is no numeral
_NOT_NUMBERED = re.compile(rf"I(?:{_PRONOUN.pattern})")
_LONGEST_NUMBER = 40  # characters; a longer one is said digit by digit
_DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
_NUMBER = re.compile(r"(?<![\w.,])\d+(?:,\d{3})*(?:\.\d+)?(?!\w)")
_AFTER_PART = re.compile(
    rf"\b(?:{_PARTS}|vol\.|ch\.|chap\.|bk\.|sec\.|no\.|p\.|pp\.)\s(?P<roman>{ROMAN}|[ivxlc]+)\b", re.I
)
_AFTER_RULER = re.compile(rf"\b(?:{_RULERS})\s(?P<roman>{ROMAN})\b(?!\.\w)")
_WORLD_WAR = re.compile(r"\bWorld War (?P<roman>III|II|I)\b")
_HEADING = re.compile(rf"\s*(?P<roman>{ROMAN})(?P<after>[.:)—–-]|\s|$)")
_WORDS_BEFORE = re.compile(r"(?<!\S)(?:\S+\s+){0,3}\S*$")
_WORDS_AFTER = re.compile(r"\S*(?:\s+\S+){0,3}")
_FARTHEST = 80  # characters before a word that are looked at
# A Greek letter on its own is read by its name.
GREEK_LETTER = re.compile(r"(?<![^\W\d_])[\u0391-\u03c9](?![^\W\d_])")
_WORD = re.compile(r"[\w\u0300-\u036f]+")  # with accents that are characters of their own
_SUPERSCRIPT = re.compile(r"[²³¹⁰⁴-⁹]")  # powers, which `find_signs` says
_NUMBER_WORD_PLURAL = re.compile(r"\b(twen|thir|for|fif|six|seven|eigh|nine)tys\b")
_SPELLED_HALF_DAY = re.compile(r"\b([AP]) M\b\.?")
# In small letters these are words: "the cat sat.", "in the sun.", "the dec".
_DAY_OR_MONTH = re.compile(r"(?:sat|sun|mon|wed|tue|thu|fri|jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)\.?")
# What spokenform might change. It takes milliseconds for a sentence, and most sentences of a novel have none of this.
_NEEDS_LIBRARY = re.compile(
    r"[\d%$£€¥¢°§½¼¾⅓⅔⅛@#=+~^\\/<>]|\b[IVXLC]{2,}\b|\b[A-Za-z]\.\s?[A-Za-z]\.|\b[A-Z]?[a-z]{1,6}\.,?\s+[a-z]|"
    r"\b(?:etc|Dr|Ms|Jr|Sr|St|Mt|Ft|Prof|Rev|Capt|Col|Gen|Lt|Sgt|Maj|Adm|Gov|Sen|Hon|Esq|Messrs|Bros|Co|Ltd|Inc|Corp|"
    r"Ave|Blvd|Rd|Jan|Feb|Aug|Sept|Oct|Nov|Dec|Mon|Tues|Wed|Thurs|Fri|Vol|Ch|Fig|Dept|Univ|Fr|Br)\b\.?(?=\s|[,;:]|$)",
)


def find_english_edits(text: str, *, heading: bool = False) -> list[Edit]:
    """What is spoken in other words.

    >>> from voice_core.audiobook.text.edits import apply_edits
    >>> def say(text, heading=False): return apply_edits(text, find_english_edits(text, heading=heading))[0]
    >>> say("Mrs. Dale ran 40 km on 3 May 1812, i.e. 5 % of it.")
    'Missus Dale ran forty kilometers on the third of May eighteen twelve, that is five percent of it.'
    >>> say("IV. The Storm", heading=True), say("Louis XIV, vol. ii"), say("see § 4")
    ('four. The Storm', 'Louis the fourteenth, volume two', 'see section four')
    """
    edits = sort_edits(_find_own_edits(text, heading))
    if _NEEDS_LIBRARY.search(text):
        edits = merge_edits(text, edits, _find_library_edits)
        edits = merge_edits(text, edits, _find_plain_numbers)
        edits = _keep_final_stop(text, edits)
    return [edit for edit in edits if edit.spoken != text[edit.start : edit.end]]


def _find_plain_numbers(text: str) -> list[Edit]:
    """Numbers whose sense the library leaves open, such as a year without a month."""
    return [
        Edit(match.start(), match.end(), _say_as_year(match[0]))
        for match in _NUMBER.finditer(text)
        if match[0].isascii()
    ]


def _find_own_edits(text: str, heading: bool) -> Iterator[Edit]:
    for match in _TITLE.finditer(text):
        yield Edit(match.start(), match.end(), _TITLES[match[1]])
    for match in _ABBREVIATION.finditer(text):
        yield Edit(match.start(), match.end(), _ABBREVIATIONS[match[0]])
    for match in _REFERENCE.finditer(text):
        if match[1].lower() == "sec." and _NOT_NUMBERED.match(text, match.end()):  # "wait a sec. I come"
            continue
        spoken = _REFERENCES[match[1].lower()]
        yield Edit(match.start(), match.end(), f"{spoken} ")
    for match in _SIGN.finditer(text):
        spaced = "" if match.start() == 0 or text[match.start() - 1].isspace() else " "
        after = "" if match.end() == len(text) or not text[match.end()].isalnum() else " "
        yield Edit(match.start(), match.end(), f"{spaced}{_SIGNS[match[0]]}{after}")
    yield from find_ambiguous(text, _say_number, _say_as_year, _say_ordinal)
    yield from _find_quantities(text)
    yield from _find_roman_numerals(text, heading)
    yield from find_signs(text, _say_number)
    if text.isascii():
        return
    for match in GREEK_LETTER.finditer(text):
        name = unicodedata.name(match[0], "")
        if name.startswith("GREEK") and "LETTER" in name:
            yield Edit(match.start(), match.end(), name.split(" WITH ")[0].rsplit(" ", 1)[-1].lower())
    for match in _WORD.finditer(text):
        # Ligatures, full-width letters, and letters whose accents are characters of their own.
        plain = unicodedata.normalize("NFKC", match[0])
        if plain != match[0] and any(map(str.isalpha, match[0])) and not _SUPERSCRIPT.search(match[0]):
            yield Edit(match.start(), match.end(), plain)


def _find_quantities(text: str) -> Iterator[Edit]:
    if not any(map(str.isdigit, text)):
        return
    for match in _GROUPED.finditer(text):
        yield Edit(match.start(), match.end(), _say_number(re.sub(r"\s", ",", match[0])))
    for match in _UNIT.finditer(text):
        number, unit = match[1], _UNITS[match[3]]
        stop = "." if match[4] and not has_more(text, match.end()) else ""
        yield Edit(match.start(2), match.end(), f" {unit}{'' if number == '1' else 's'}{stop}")
    for match in (*_SHILLINGS.finditer(text), *_PENCE.finditer(text)):
        for number, name, one, more in (("s", "sh", "shilling", "shillings"), ("d", "pence", "penny", "pence")):
            if match[name]:
                stop = "." if match[name].endswith(".") and not has_more(text, match.end(name)) else ""
                spoken = f" {one if match[number] == '1' else more}{stop}"
                yield Edit(match.start(name), match.end(name), spoken)
    for match in _FEET.finditer(text):
        yield Edit(match.start("feet"), match.end("feet"), " feet ")
        yield Edit(match.start("inches"), match.end("inches"), " inch" if match["number"] == "1" else " inches")
    for match in _OLD_POUNDS.finditer(text):
        yield Edit(match.start(1), match.end(1), " pounds")
    for match in _DECADE.finditer(text):
        yield Edit(match.start(), match.end(), _plural(_say_as_year(match[1])))


def _find_roman_numerals(text: str, heading: bool) -> Iterator[Edit]:
    for match in _AFTER_PART.finditer(text):
        numeral = match["roman"]
        if not (value := roman_value(numeral)):
            continue
        before_word = _PRONOUN.match(text, match.end())
        # "Section C" has a letter; in "the part I liked", and in the misprint "part i liked", there is a pronoun. An
        # edit without a change keeps the library from making one.
        unchanged = numeral.upper() in ("L", "C", "D", "M") or (numeral.upper() == "I" and before_word)
        yield Edit(match.start("roman"), match.end("roman"), numeral if unchanged else _say_number(str(value)))
    for pattern, ordinal in ((_AFTER_RULER, True), (_WORLD_WAR, False)):
        for match in pattern.finditer(text):
            numeral = match["roman"]
            spoken = _say_number(str(roman_value(numeral)))
            if ordinal and numeral == "I" and _PRONOUN.match(text, match.end()):
                spoken = "I"
            elif ordinal:
                spoken = f"the {_say_ordinal(roman_value(numeral))}"
            yield Edit(match.start("roman"), match.end("roman"), spoken)
    if heading and (found := _HEADING.match(text)):
        value, alone = roman_value(found["roman"]), not has_more(text, found.end("roman"))
        punctuated = bool(found["after"].strip())
        if 0 < value <= _LARGEST_HEADING and (alone or punctuated or len(found["roman"]) > 1):
            yield Edit(found.start("roman"), found.end("roman"), _say_number(str(value)))


def has_more(text: str, at: int) -> bool:
    """Whether there is a letter or digit from a position on."""
    return any(map(str.isalnum, text[at:]))


def _prepare(text: str, **options: Any) -> "spokenform.PreparedText":
    import spokenform  # takes a third of a second, which processes that read no books need not spend

    if options:
        options = {"config": spokenform.PreparationConfig(language="en", **options)}
    return spokenform.prepare_language(text, language="en", **options)


@lru_cache(maxsize=4096)
def _say_number(digits: str) -> str:
    return _prepare(digits).spoken_text if len(digits) <= _LONGEST_NUMBER else _say_digits(digits)


def _say_as_year(digits: str) -> str:
    """A number whose sense is open: 1812 is "eighteen twelve"."""
    if len(digits) == 4 and digits.endswith("00") and not digits.endswith("000"):
        return f"{_say_number(digits[:2])} hundred"
    return " ".join(spoken_forms(digits)) if len(digits) <= _LONGEST_NUMBER else _say_digits(digits)


def _say_digits(digits: str) -> str:
    return " ".join(_DIGITS[int(digit)] for digit in digits if digit.isdecimal())


@lru_cache(maxsize=512)
def _say_ordinal(number: int) -> str:
    ending = "th" if 10 <= number % 100 <= 20 else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return _prepare(f"{number}{ending}").spoken_text


def _plural(number: str) -> str:
    """
    >>> _plural("twenty"), _plural("eighteen hundred")
    ('twenties', 'eighteen hundreds')
    """
    return number[:-1] + "ies" if number.endswith("y") else number + "s"


_repairs: tuple[tuple[re.Pattern[str], Callable[[re.Match[str]], str]], ...] = (
    (_NUMBER_WORD_PLURAL, lambda match: f"{match[1]}ties"),
    (_SPELLED_HALF_DAY, lambda match: f"{match[1]}.M."),
    (re.compile(r"\byens\b"), lambda match: "yen"),
)


def _find_library_edits(text: str) -> list[Edit]:
    """The edits of spokenform, which is asked about the words around those that it might change."""
    windows: list[list[int]] = []
    for match in _NEEDS_LIBRARY.finditer(text):
        start = _WORDS_BEFORE.search(text, max(0, match.start() - _FARTHEST), match.start())
        end = _WORDS_AFTER.match(text, match.end())
        begins = start.start() if start else match.start()
        ends = end.end() if end else match.end()
        if windows and begins <= windows[-1][1]:
            windows[-1][1] = max(windows[-1][1], ends)
        else:
            windows.append([begins, ends])
    return [
        Edit(begins + item.start, begins + item.end, item.spoken)
        for begins, ends in windows
        for item in _ask_library(text[begins:ends])
    ]


@lru_cache(maxsize=16_384)
def _ask_library(text: str) -> tuple[Edit, ...]:
    """The edits of spokenform; none where they do not give its own text."""
    try:
        prepared = _prepare(text, use_spacy=False, disabled_domains=("addresses",))
    except (ArithmeticError, ValueError):  # more digits than decimal numbers, or integers in Python, may have
        return ()
    edits: list[Edit] = []
    at = size = 0
    for item in prepared.source_replacements:
        edits.append(Edit(item.source_start, item.source_end, item.replacement))
        size += item.source_start - at + len(item.replacement)
        at = item.source_end
    parts: list[str] = []
    at = 0
    for edit in edits:
        parts += (text[at : edit.start], edit.spoken)
        at = edit.end
    if "".join([*parts, text[at:]]) != prepared.spoken_text:
        return ()
    return tuple(repaired for repaired in map(_repair, edits, [text] * len(edits)) if repaired is not None)


def _repair(edit: Edit, text: str) -> Edit | None:
    """The edit as an engine reads it well; None for what is better left to the engine: letters one by one, spaces."""
    source, spoken = text[edit.start : edit.end], edit.spoken
    if not source.strip() or _DAY_OR_MONTH.fullmatch(source):
        return None
    for pattern, replacement in _repairs:
        spoken = pattern.sub(replacement, spoken)
    if letters_of(source) == letters_of(spoken):
        return None
    return Edit(edit.start, edit.end, spoken)


def _keep_final_stop(text: str, edits: list[Edit]) -> list[Edit]:
    """The full stop of a last abbreviation ends the sentence as well."""
    if not edits:
        return edits
    last = edits[-1]
    source = text[last.start : last.end]
    if source.endswith(".") and not has_more(text, last.end) and last.spoken[-1:].isalnum():
        edits[-1] = Edit(last.start, last.end, f"{last.spoken}.")
    return edits
