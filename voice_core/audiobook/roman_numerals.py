"""Roman numerals."""

import re

ROMAN = r"(?=[IVXLCDM])M{0,3}(?:CM|CD|D?C{0,3})(?:XC|XL|L?X{0,3})(?:IX|IV|V?I{0,3})"
"""A pattern of capital numerals."""
_SCALES = {"I": 1, "V": 5, "X": 10, "L": 50, "C": 100, "D": 500, "M": 1000}


def roman_value(numeral: str) -> int:
    """The value of a Roman numeral in capital or small letters; 0 for what is none.

    >>> roman_value("XIV"), roman_value("iii"), roman_value("IIX"), roman_value("civil")
    (14, 3, 0, 0)
    """
    upper = numeral.upper()
    if not upper or not re.fullmatch(ROMAN, upper):
        return 0
    values = [_SCALES[char] for char in upper]
    return sum(-a if a < b else a for a, b in zip(values, [*values[1:], 0], strict=True))
