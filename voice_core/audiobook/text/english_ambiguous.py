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
_NAMES = {
    "Mme": "Madame", "Mlle": "Mademoiselle", "Wm": "William", "Chas": "Charles", "Thos": "Thomas", "Jas": "James",
    "Geo": "George", "Robt": "Robert", "Benj": "Benjamin", "Saml": "Samuel", "Edw": "Edward",
}  # fmt: skip
_NAME = re.compile(rf"\b({'|'.join(_NAMES)})\.(?=\s[^\W\d_])")
_MEASURES = {"tsp": "teaspoon", "tbsp": "tablespoon", "cwt": "hundredweight"}
_MEASURE = re.compile(rf"(?<=[\d½¼¾⅓⅔])(\s?)({'|'.join(_MEASURES)})(\.?)(?!\w)")


def find_ambiguous(text: str, say_number: Say, say_ordinal: Callable[[int], str]) -> Iterator[Edit]:
    """The edits of the rules above."""
    for match in _NAME.finditer(text):
        yield Edit(match.start(), match.end(), _NAMES[match[1]])
    for match in _CENTURY.finditer(text):
        if value := roman_value(match[1]):
            yield Edit(match.start(), match.end(), say_ordinal(value))
    if not any(map(str.isdigit, text)):
        return
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
