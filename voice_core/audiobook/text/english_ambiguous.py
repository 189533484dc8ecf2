"""Words and figures of English that the library spokenform reads in the wrong sense.

Each rule gives an edit; one without a change keeps the library from making another.
"""

import re
from collections.abc import Callable, Iterator

from voice_core.audiobook.roman_numerals import roman_value
from voice_core.audiobook.text.edits import Edit

Say = Callable[[str], str]
"""A number in words."""

# "3 in 1914" has no inches, unless a measure follows ("5 in tall", "3 in. wide") or feet precede.
_IN = re.compile(
    r"(?<=\d)(?<!ft \d)(?<!ft \d\d)(?<!ft\. \d)(?<!ft\. \d\d)\s+in\b"
    r"(?!\.|\s+(?:tall|long|wide|high|deep|thick|across|square|in\s+(?:diameter|length|height|width))\b|\s*[x×])"
)
_LETTER = re.compile(r"(?<=\d)\s+[ACFLMNKVWST]\b(?!\w)")  # "block 5 C", "4 A. M."; units are amperes, degrees, litres
_CLOCK = re.compile(r"(?<![\d.,])(1?\d|2[0-4])\.([0-5]\d)(?=\s?(?:[ap]\.\s?m\b|[ap]m\b|o[’']clock))", re.I)
_MONEY = re.compile(r"([$£€])\s?(\d[\d,]*(?:\.\d+)?)\s?(m|mn|bn|k|tn)\b")
_MULTIPLES = {"k": "thousand", "m": "million", "mn": "million", "bn": "billion", "tn": "trillion"}
_CENTS = re.compile(r"(?<![\w.,])(\d+)(\s?¢)")
_PAIRS = re.compile(r"(?<![\w/.,])(24/7|50/50|60/40|70/30|80/20|90/10|9/11)(?![\w/])")
_CENTURY = re.compile(r"\b(?=[IVX]{2,})([IVX]+)(th|st|nd|rd)\b")
_SHILLINGS = re.compile(r"(?<![\w.,£])(\d{1,2})(s\.)(?=[\s,;]+[a-z\d&])")
_ORDINAL = re.compile(r"(?<![\w.,])(\d{1,3}(?:,\d{3}){1,4})(?:st|nd|rd|th)\b")
_STREET = re.compile(r"(?<=\d)(?:st|nd|rd|th)\s(St)(\.?)(?!\w)")
_RANGE = re.compile(r"(?<![\w.,:/$£€–-])(\d{1,4})\s?[-–]\s?(\d{1,4})(?![\w:/–-]|[.,]\d)")
_ZEROS = re.compile(r"(?<![\w.,:/–-])0\d+(?![\w:/–-]|[.,]\d)")  # "007"
_SECTION = re.compile(r"(?<![\w.,])\d{1,3}(?:\.\d{1,3}){2,}(?![\w]|[.,]\d)")  # "3.2.1"
_YEARS = range(1000, 2100)
_ADDRESS = re.compile(
    r"(?<![\w@./])(?:[\w.+-]+@[\w-]+(?:\.[\w-]+)+|(?:https?://(?:www\.)?|www\.)[\w-]+(?:\.[\w-]+)+(?:/[\w./~-]*\w)?)/?"
)
_ADDRESS_SIGNS = {".": "dot", "@": "at", "/": "slash", "-": "dash", "_": "underscore", "+": "plus", "~": "tilde"}
_NAMES = {
    "Mme": "Madame", "Mlle": "Mademoiselle", "Wm": "William", "Chas": "Charles", "Thos": "Thomas", "Jas": "James",
    "Geo": "George", "Robt": "Robert", "Benj": "Benjamin", "Saml": "Samuel", "Edw": "Edward",
}  # fmt: skip
_NAME = re.compile(rf"\b({'|'.join(_NAMES)})\.(?=\s[^\W\d_])")
_MEASURES = {"tsp": "teaspoon", "tbsp": "tablespoon", "cwt": "hundredweight"}
_MEASURE = re.compile(rf"(?<=[\d½¼¾⅓⅔])(\s?)({'|'.join(_MEASURES)})(\.?)(?!\w)")


def find_ambiguous(text: str, say_number: Say, say_year: Say, say_ordinal: Callable[[int], str]) -> Iterator[Edit]:
    """The edits of the rules above."""
    for match in _NAME.finditer(text):
        yield Edit(match.start(), match.end(), _NAMES[match[1]])
    for match in _CENTURY.finditer(text):
        if value := roman_value(match[1]):
            yield Edit(match.start(), match.end(), say_ordinal(value))
    for match in _ADDRESS.finditer(text):
        yield Edit(match.start(), match.end(), _say_address(match[0], say_number))
    if not any(map(str.isdigit, text)):
        return
    for match in _ORDINAL.finditer(text):
        yield Edit(match.start(), match.end(), say_ordinal(int(match[1].replace(",", ""))))
    for match in _ZEROS.finditer(text):
        yield Edit(match.start(), match.end(), " ".join(map(say_number, match[0])))
    for match in _STREET.finditer(text):
        at_end = not any(map(str.isalnum, text[match.end() :]))
        yield Edit(match.start(1), match.end(), "Street" + ("." if match[2] and at_end else ""))
    for match in _SECTION.finditer(text):
        yield Edit(match.start(), match.end(), " point ".join(map(say_number, match[0].split("."))))
    yield from _find_ranges(text, say_number, say_year)
    for pattern in (_IN, _LETTER):
        for match in pattern.finditer(text):
            yield Edit(match.start(), match.end(), match[0])
    for match in _CLOCK.finditer(text):
        yield Edit(match.start(), match.end(), say_number(f"{match[1]}:{match[2]}"))
    for match in _MONEY.finditer(text):
        yield Edit(match.start(), match.end(), say_number(f"{match[1]}{match[2]} {_MULTIPLES[match[3]]}"))
    for match in _CENTS.finditer(text):
        yield Edit(match.start(2), match.end(2), " cent" if match[1] == "1" else " cents")
    for match in _PAIRS.finditer(text):
        yield Edit(match.start(), match.end(), " ".join(map(say_number, match[1].split("/"))))
    for match in _SHILLINGS.finditer(text):
        yield Edit(match.start(2), match.end(2), " shilling" if match[1] == "1" else " shillings")
    for match in _MEASURE.finditer(text):
        plural = "" if match[2] == "cwt" or text[: match.start()].endswith(("½", "¼", "¾")) else "s"
        yield Edit(match.start(), match.end(), f" {_MEASURES[match[2]]}{plural}")


def _find_ranges(text: str, say_number: Say, say_year: Say) -> Iterator[Edit]:
    """From a number to a larger one: "pages 10–12", "1939-45". A score such as "3-1" is none, nor is "555-1234"."""
    for match in _RANGE.finditer(text):
        first, last = match[1], match[2]
        if len(first) == 4 and len(last) == 2:
            whole = first[:2] + last
        elif len(first) == len(last) == 4 or max(len(first), len(last)) < 4:
            whole = last
        else:
            continue
        if int(first) >= int(whole) or (len(first) == 4 and int(first) not in _YEARS):
            continue
        if len(first) == 4:
            yield Edit(match.start(1), match.end(1), _say_year(first, say_number, say_year))
            yield Edit(match.start(2), match.end(2), _say_year(last, say_number, say_year))
        yield Edit(match.end(1), match.start(2), " to ")


def _say_year(year: str, say_number: Say, say_year: Say) -> str:
    """A year of four figures, or its last two: 1805 is "eighteen oh five"."""
    if len(year) == 4 and year[2] == "0" != year[3] and not year.startswith("20"):
        return f"{say_number(year[:2])} oh {say_number(year[3])}"
    return f"oh {say_number(year[1])}" if len(year) == 2 and year[0] == "0" else say_year(year)


def _say_address(address: str, say_number: Say) -> str:
    """
    >>> _say_address("https://www.example.org/a-b", str)
    'w w w dot example dot org slash a dash b'
    """
    parts = re.findall(r"[^\W\d_]+|\d+|[^\w\s]|_", re.sub(r"^https?://", "", address).rstrip("/"))
    words = ("w w w" if part == "www" else say_number(part) if part.isdecimal() else part for part in parts)
    return " ".join(_ADDRESS_SIGNS.get(word, word) for word in words)
