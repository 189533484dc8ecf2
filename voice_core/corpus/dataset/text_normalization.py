"""Normalise texts for comparison, and apply the text filter of NeuTTS fine-tuning."""

import re
import unicodedata

from voice_core.fingerprint import fingerprint

# Optional marks: Latin accents, Arabic vowel signs, tatweel. Marks of other scripts are kept as letters.
_OPTIONAL_MARKS = re.compile("[\u0300-\u036f\u0610-\u061a\u0640\u064b-\u065f\u0670\u06d6-\u06dc\u06df-\u06e4]")


def normalize_text(text: str) -> str:
    """A text without case, optional marks, punctuation and extra spaces: equal for texts that sound the same.

    >>> normalize_text("Hello,  World!") == normalize_text("hello world")
    True
    >>> normalize_text("نَعَم") == normalize_text("نعم")
    True
    """
    bare = _OPTIONAL_MARKS.sub("", unicodedata.normalize("NFKD", text.casefold()))
    kept = "".join(char if unicodedata.category(char)[0] in "LMN" else " " if char.isspace() else "" for char in bare)
    return " ".join(kept.split())


def hash_text(text: str) -> str:
    return fingerprint(normalize_text(text))[:16]


_NEUTTS_RULES: tuple[tuple[str, re.Pattern[str]], ...] = (
    ("digit", re.compile(r"\d")),
    ("currency", re.compile(r"[£$]")),
    ("capitals", re.compile(r"[A-Z]{2}")),
    ("ending", re.compile(r"[^.,?!]\Z")),
)


def neutts_drop_reasons(text: str) -> str:
    """Why NeuTTS fine-tuning drops a text: reasons joined by commas, empty if it keeps the text.

    Its filter drops empty texts, any digit, `£` or `$`, two adjacent capitals, and texts that do not end in one
    of `.,?!`; an Arabic question mark does not count.

    >>> neutts_drop_reasons("Fine."), neutts_drop_reasons("In 1998 the BBC said"), neutts_drop_reasons("لماذا؟")
    ('', 'digit,capitals,ending', 'ending')
    """
    if not text.strip():
        return "empty"
    return ",".join(reason for reason, pattern in _NEUTTS_RULES if pattern.search(text))
