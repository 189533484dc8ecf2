"""The words of a text: as they are written, and as an English dictionary spells their spoken forms."""

import re
import unicodedata
from typing import Literal, get_args

Reading = Literal["usual", "pairs", "cardinal", "digits"]
READINGS: tuple[Reading, ...] = get_args(Reading)

_ONES = (  # noqa: SIM905
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
    "eighteen nineteen"
).split()
_TENS = "twenty thirty forty fifty sixty seventy eighty ninety".split()  # noqa: SIM905
_SCALES = ((10**9, "billion"), (10**6, "million"), (10**3, "thousand"), (100, "hundred"))
_ORDINALS = {
    "one": "first",
    "two": "second",
    "three": "third",
    "five": "fifth",
    "eight": "eighth",
    "nine": "ninth",
    "twelve": "twelfth",
}
_SIGNS = {"%": "percent", "$": "dollars", "£": "pounds", "€": "euros", "&": "and", "+": "plus", "@": "at"}
_PIECES = re.compile(
    r"(?P<number>\d+(?:\.\d+)?)(?P<ordinal>(?:st|nd|rd|th)\b)?|(?P<word>[a-z]+(?:'[a-z]+)*'?)|(?P<sign>\S)"
)
_LONGEST_NUMBER = 12  # digits; longer ones are read digit by digit

# English letters to the phones of CMUdict, longest spelling first. Rough: it only has to be about as long and as loud
# as the word, between neighbours that the dictionary knows.
_SOUNDS = {
    "tion": "SH AH N", "sion": "ZH AH N", "ough": "AO", "eigh": "EY",
    "igh": "AY", "sch": "SH", "tch": "CH", "dge": "JH", "eau": "OW",
    "ch": "CH", "sh": "SH", "th": "TH", "ph": "F", "wh": "W", "ck": "K", "ng": "NG", "qu": "K W", "kn": "N",
    "wr": "R", "gh": "G", "ee": "IY", "ea": "IY", "oo": "UW", "ou": "AW", "ow": "OW", "oa": "OW", "oi": "OY",
    "oy": "OY", "ai": "EY", "ay": "EY", "au": "AO", "aw": "AO", "ie": "IY", "ei": "EY", "ey": "IY", "ew": "UW",
    "ue": "UW", "er": "ER", "ir": "ER", "ur": "ER", "ar": "AA R", "or": "AO R",
    "a": "AE", "b": "B", "c": "K", "d": "D", "e": "EH", "f": "F", "g": "G", "h": "HH", "i": "IH", "j": "JH",
    "k": "K", "l": "L", "m": "M", "n": "N", "o": "OW", "p": "P", "q": "K", "r": "R", "s": "S", "t": "T",
    "u": "AH", "v": "V", "w": "W", "x": "K S", "y": "IY", "z": "Z",
}  # fmt: skip
_SPELLINGS = re.compile("|".join(sorted(_SOUNDS, key=len, reverse=True)))


# Thai, Lao, Burmese, Khmer, kana and Chinese characters: written without spaces between words.
_UNSPACED = re.compile(
    "[\u0e01-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]"
)


def split_words(text: str) -> list[str]:
    """The words of a text as it spells them, punctuation included; isolated signs belong to the word before.

    In scripts without spaces each character is a word, so that times are as fine as possible.

    >>> split_words("Well – yes, at 7:30!")
    ['Well –', 'yes,', 'at', '7:30!']
    >>> split_words("– Yes"), split_words("…")
    (['– Yes'], [])
    >>> split_words("你好，世界！ iPhone15很「貴」。"), split_words("ที่นี่")
    (['你', '好，', '世', '界！', 'iPhone15', '很', '「貴」。'], ['ที่', 'นี่'])
    """
    words: list[str] = []
    ahead = ""
    for token in (part for spaced in text.split() for part in _parts(spaced)):
        if any(char.isalnum() for char in token):
            words.append(f"{ahead} {token}".strip())
            ahead = ""
        elif words:
            words[-1] += f" {token}"
        else:
            ahead = f"{ahead} {token}".strip()
    return words


def _parts(token: str) -> list[str]:
    """The characters of unspaced scripts one by one, with their marks and the punctuation at them.

    >>> _parts("「はい」と(yes)。"), _parts("a(b)")
    (['「は', 'い」', 'と', '(yes)。'], ['a(b)'])
    """
    if not _UNSPACED.search(token):
        return [token]
    parts = [""]
    last = ""  # letter or digit
    for char in token:
        begins = char.isalnum() and last and (_UNSPACED.match(char) or _UNSPACED.match(last))
        opens = unicodedata.category(char) in ("Ps", "Pi") and last
        if (begins and any(map(str.isalnum, parts[-1]))) or opens:
            parts.append("")
        parts[-1] += char
        last = char if char.isalnum() else last
    return parts


def spoken_forms(word: str, reading: Reading = "usual") -> list[str]:
    """A word as it is spoken, in lower-case English words; empty where it has no Latin letter, digit or known sign.

    Speakers and engines read long numbers in several ways: `reading` selects one.

    >>> spoken_forms("Twenty-five,"), spoken_forms("Café’s"), spoken_forms("$1,250.5")
    (['twenty', 'five'], ["cafe's"], ['one', 'thousand', 'two', 'hundred', 'fifty', 'point', 'five', 'dollars'])
    >>> spoken_forms("7:30"), spoken_forms("21st"), spoken_forms("1984"), spoken_forms("東京")
    (['seven', 'thirty'], ['twenty', 'first'], ['nineteen', 'eighty', 'four'], [])
    >>> [" ".join(spoken_forms("4821.", reading)) for reading in READINGS[1:]]
    ['forty eight twenty one', 'four thousand eight hundred twenty one', 'four eight two one']
    """
    plain = unicodedata.normalize("NFKD", word.replace("’", "'").lower())
    plain = re.sub(r"(?<=\d),(?=\d{3})", "", "".join(char for char in plain if not unicodedata.combining(char)))
    forms: list[str] = []
    currency: list[str] = []
    for piece in _PIECES.finditer(plain):
        if piece["number"]:
            said = _number(piece["number"], reading)
            if piece["ordinal"]:
                said[-1] = _ordinal(said[-1])
            forms += said
        elif piece["word"]:
            forms.append(piece["word"])
        elif piece["sign"] in _SIGNS:
            (currency if piece["sign"] in "$£€" else forms).append(_SIGNS[piece["sign"]])
    return forms + currency


def _number(digits: str, reading: Reading) -> list[str]:
    whole, _, fraction = digits.partition(".")
    plain = whole.isascii() and len(whole) <= _LONGEST_NUMBER
    year = len(whole) == 4 and not fraction and 1100 <= int(whole) < 2100 and whole[1:3] != "00" and whole[2] != "0"
    if not plain or reading == "digits" or (reading == "usual" and len(whole) > 1 and whole[0] == "0"):
        said = [_ONES[int(digit)] for digit in whole]
    elif year if reading == "usual" else reading == "pairs" and len(whole) in (3, 4):
        said = _cardinal(int(whole[:-2])) + _cardinal(int(whole[-2:]))
    else:
        said = _cardinal(int(whole))
    return [*said, "point", *(_ONES[int(digit)] for digit in fraction)] if fraction else said


def _cardinal(value: int) -> list[str]:
    """
    >>> " ".join(_cardinal(40_012)), _cardinal(0)
    ('forty thousand twelve', ['zero'])
    """
    if value < 20:
        return [_ONES[value]]
    if value < 100:
        return [_TENS[value // 10 - 2], *(_cardinal(value % 10) if value % 10 else [])]
    scale, name = next(item for item in _SCALES if value >= item[0])
    return [*_cardinal(value // scale), name, *(_cardinal(value % scale) if value % scale else [])]


def _ordinal(word: str) -> str:
    """
    >>> _ordinal("twenty"), _ordinal("nine"), _ordinal("six")
    ('twentieth', 'ninth', 'sixth')
    """
    return _ORDINALS.get(word) or (word[:-1] + "ieth" if word.endswith("y") else word + "th")


def guess_phones(word: str) -> str:
    """A pronunciation for a word that is not in the dictionary, in the phones of CMUdict.

    >>> guess_phones("zorblax"), guess_phones("phlow'ng")
    ('Z AO R B L AE K S', 'F L OW NG')
    """
    return " ".join(_SOUNDS[match[0]] for match in _SPELLINGS.finditer(word))
