"""Text that an engine cannot speak, found before it is spoken: an engine drops it or spoils it without a word."""

import re
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Protocol

from voice_core.audiobook.text.edits import Span
from voice_core.language import primary_subtag
from voice_core.recognition.text_words import split_words
from voice_core.tts.base import Capabilities

MAX_WORD_LETTERS = 60
FOREIGN_SCRIPT, LONG_WORD, LANGUAGE = "foreign_script", "word_too_long", "language"
ORNAMENT, SPEAKER_TAG = "ornament", "speaker_tag"

_LATIN = (  # noqa: SIM905
    "en fr de es it pt nl sv no nb nn da fi is pl cs sk hu ro tr az vi id ms sw tl ca eu gl et lv lt sl hr bs sq ga cy "
    "la eo af mt"
).split()
# The scripts of languages, as the names of their letters begin. A language that is not listed may have any script.
_SCRIPTS: dict[str, frozenset[str]] = {
    **dict.fromkeys(("ar", "fa", "ur", "ps", "ckb", "sd", "ug"), frozenset({"ARABIC"})),
    **dict.fromkeys(("ru", "uk", "be", "bg", "mk", "kk", "ky", "mn"), frozenset({"CYRILLIC"})),
    "sr": frozenset({"CYRILLIC", "LATIN"}),
    "el": frozenset({"GREEK"}),
    **dict.fromkeys(("he", "yi"), frozenset({"HEBREW"})),
    **dict.fromkeys(("hi", "mr", "ne", "sa"), frozenset({"DEVANAGARI"})),
    "zh": frozenset({"CJK", "BOPOMOFO"}),
    "ja": frozenset({"CJK", "HIRAGANA", "KATAKANA", "KATAKANA-HIRAGANA"}),
    "ko": frozenset({"HANGUL", "CJK"}),
    **dict.fromkeys(_LATIN, frozenset({"LATIN"})),
}
_TOKEN = re.compile(r"[^\s—–]+")
_WORD = re.compile(rf"[^\W_]{{{MAX_WORD_LETTERS + 1},}}")


class Speaker(Protocol):
    """What text depends on of a speech engine."""

    @property
    def name(self) -> str: ...
    @property
    def capabilities(self) -> Capabilities: ...


@dataclass(frozen=True, slots=True)
class Refusal:
    """A part of a text that is not spoken, and why."""

    start: int
    end: int
    reason: str
    message: str


def find_language_problem(engine: Speaker, language: str) -> str:
    """Why an engine does not speak a language; "" where it does."""
    spoken = engine.capabilities.languages
    if not spoken or primary_subtag(language) in map(primary_subtag, spoken):
        return ""
    return f"{engine.name} does not speak {language!r}; it speaks {', '.join(spoken)}"


def find_refusals(text: str, engine: Speaker, covered: Iterable[Span] = ()) -> list[Refusal]:
    """The parts of a text that `engine` cannot speak. `covered` are parts that are spoken in other words."""
    refusals: list[Refusal] = []
    scripts = _engine_scripts(engine.capabilities.languages)
    spans = [*covered]
    if scripts and not text.isascii():
        foreign = [
            token.span()
            for token in _TOKEN.finditer(text)
            if not _is_pronounceable(token[0], scripts)
            and not any(start < token.end() and token.start() < end for start, end in spans)
        ]
        languages = ", ".join(engine.capabilities.languages)
        for start, end in _join_runs(text, foreign):
            message = f"{engine.name} cannot read the script of {_shorten(text[start:end])} (it speaks {languages})"
            refusals.append(Refusal(start, end, FOREIGN_SCRIPT, message))
    for match in _WORD.finditer(text):
        inside = any(item.start < match.end() and match.start() < item.end for item in refusals)
        if not inside and len(split_words(match[0])) == 1:
            message = (
                f"a word of {len(match[0]):,} letters, {_shorten(match[0])}; at most {MAX_WORD_LETTERS} are spoken"
            )
            refusals.append(Refusal(*_with_punctuation(text, *match.span()), LONG_WORD, message))
    return _without_overlaps(refusals)


def _without_overlaps(refusals: Iterable[Refusal]) -> list[Refusal]:
    """The refusals in order; punctuation between two belongs to the first."""
    found: list[Refusal] = []
    for item in sorted(refusals, key=lambda item: item.start):
        start = max(item.start, found[-1].end if found else 0)
        if start < item.end:
            found.append(replace(item, start=start))
    return found


def _engine_scripts(languages: tuple[str, ...]) -> frozenset[str]:
    """The scripts of some languages; empty where any script may be among them."""
    known = [_SCRIPTS.get(primary_subtag(language)) for language in languages]
    return frozenset().union(*(item for item in known if item)) if all(known) else frozenset()


def _is_pronounceable(token: str, scripts: frozenset[str]) -> bool:
    return token.isascii() or all(_is_known(char, scripts) for char in token)


@lru_cache(maxsize=8192)
def _is_known(char: str, scripts: frozenset[str]) -> bool:
    """Whether a character is of one of the scripts, or of none: a sign, a digit that is read as such."""
    if char == "µ" or unicodedata.category(char) not in ("Lu", "Ll", "Lt", "Lo", "Nd"):
        return True
    plain = unicodedata.normalize("NFKC", char)
    if plain != char:
        return all(_is_known(item, scripts) for item in plain)
    name = unicodedata.name(char, "UNKNOWN").split(" ")[0].split("-")[0]
    return name in scripts or name in ("FEMININE", "MASCULINE") or (name == "DIGIT")


def _join_runs(text: str, tokens: Iterable[Span]) -> Iterator[Span]:
    """Runs of tokens with nothing but white space and punctuation between them."""
    run: Span | None = None
    for start, end in tokens:
        if run and not any(map(str.isalnum, text[run[1] : start])):
            run = run[0], end
        else:
            if run:
                yield run
            run = start, end
    if run:
        yield run


def _with_punctuation(text: str, start: int, end: int) -> Span:
    while start and not (text[start - 1].isspace() or text[start - 1].isalnum()):
        start -= 1
    while end < len(text) and not (text[end].isspace() or text[end].isalnum()):
        end += 1
    return start, end


def _shorten(text: str) -> str:
    return repr(text if len(text) <= 40 else text[:40] + "…")
