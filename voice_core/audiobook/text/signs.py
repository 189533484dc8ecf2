"""Signs of English text in words: engines drop most of them without a word.

Marks that only separate or adorn (bullets, stars, lines, notes of music) stay as they are, as punctuation does.
"""

import re
import unicodedata
from collections.abc import Callable, Iterator
from functools import lru_cache

from voice_core.audiobook.text.edits import Edit

_WORDS = {
    "≤": "is at most", "≥": "is at least", "≠": "does not equal", "≈": "is about", "∞": "infinity", "√": "root of",
    "±": "plus or minus", "−": "minus", "→": "to", "¬": "not", "∴": "therefore", "∵": "because", "♯": "sharp",
    "♭": "flat", "✓": "check", "✔": "check", "❤": "heart", "♥": "heart", "♡": "heart", "€": "euros", "£": "pounds",
    "¥": "yen", "₹": "rupees", "$": "dollars",
}  # fmt: skip
_OTHERS = "×÷©®™°¢"  # of which other rules take care
_ADORNING = (
    *range(0x2500, 0x2600), 0x2605, 0x2606, *range(0x2669, 0x266D), *range(0x2719, 0x2764), *range(0x2765, 0x2768),
    *range(0x1F3FB, 0x1F400), *range(0x1F650, 0x1F680), 0xFFFD,
)  # fmt: skip
_SIGN = re.compile(r"[^\w\s\x00-\x23\x25-\x7f]|\$")
_AMOUNT = re.compile(r"[$€£¥₹](?=\s?\d)|(?<=\d)\s?[€£¥₹]")
_SUPERSCRIPTS = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁻", "0123456789-")
_POWER = re.compile(r"(?:(?<=\d)|(?<=\b[A-Za-z])|(?<=\)))⁻?[⁰¹²³⁴⁵⁶⁷⁸⁹]+")
_POWERS = {"2": " squared", "3": " cubed"}
_FORMULA = re.compile(r"\b(?:[A-Z][a-z]?[₀-₉]*)*[₀-₉](?:[A-Z][a-z]?[₀-₉]*)*|\bCO2\b")
_ATOM = re.compile(r"[A-Z][a-z]?|\d+")
_DASHES = re.compile(r"(?<=\S)(?<!-)-{2,3}(?!-)|(?<!-)-{2,3}(?=[^\s-])")


def find_signs(text: str, say_number: Callable[[str], str]) -> Iterator[Edit]:
    """Signs in words, powers and chemical formulas; and dashes that are typed as hyphens.

    >>> [edit.spoken for edit in find_signs("x ≤ 3, 10⁶; he--no, CO₂ \\U0001f600", lambda digits: digits)]
    ['—', ' to the power of 6', 'C O 2', 'is at most', 'grinning face']
    """
    for match in _DASHES.finditer(text):  # an engine takes "paused--then" for one word
        yield Edit(match.start(), match.end(), "—")
    for match in _POWER.finditer(text):
        power = match[0].translate(_SUPERSCRIPTS)
        number = f"{'minus ' if power[0] == '-' else ''}{say_number(power.lstrip('-'))}"
        yield Edit(match.start(), match.end(), _POWERS.get(power, f" to the power of {number}"))
    for match in _FORMULA.finditer(text):
        atoms = _ATOM.findall(unicodedata.normalize("NFKC", match[0]))
        yield Edit(match.start(), match.end(), " ".join(say_number(a) if a.isdigit() else a for a in atoms))
    amounts = [match.span() for match in _AMOUNT.finditer(text)]
    for match in _SIGN.finditer(text):
        at = match.start()
        words = _name(match[0])
        if words and not any(start <= at < end for start, end in amounts):
            before, after = text[at - 1 : at] if at else " ", text[at + 1 : at + 2] or " "
            yield Edit(at, at + 1, f"{'' if before.isspace() else ' '}{words}{' ' if after.isalnum() else ''}")


@lru_cache(maxsize=1024)
def _name(sign: str) -> str:
    """What is said for a sign; "" for what is not spoken."""
    if sign in _WORDS:
        return _WORDS[sign]
    if unicodedata.category(sign) not in ("So", "Sm", "Sc") or sign in _OTHERS or ord(sign) in _ADORNING:
        return ""
    return unicodedata.name(sign, "").lower().replace("-", " ")
