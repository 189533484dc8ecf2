"""The lexicon: how words are spoken, by language, book and voice. Files are TOML, or W3C's PLS.

    [[entry]]
    word = "Pemberley"
    respell = "Pember-lee"      # or phonemes = "…", in the engine's alphabet
    language = "en"             # these three are optional
    book = "Pride and Prejudice"
    voice = "heart"

Entries match whole words. A word without capital letters matches in any case; one with capital letters matches as it is
written, and wholly in capitals. At a position the longest word counts, then the entry for a voice, for a book, for a
language, and last the one for all.
"""

import re
import tomllib
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from pathlib import Path, PurePosixPath
from typing import Any

from lxml import etree

from voice_core.audiobook.text.edits import Edit
from voice_core.fingerprint import fingerprint
from voice_core.language import primary_subtag
from voice_core.settings import ConfigurationError

_KEYS = ("word", "respell", "phonemes", "language", "book", "voice")
_PLS = "http://www.w3.org/2005/01/pronunciation-lexicon"
_XML_LANGUAGE = "{http://www.w3.org/XML/1998/namespace}lang"
_MARKUP = frozenset("[]()\n\r")  # an engine might read these as something else than text


class LexiconError(ConfigurationError):
    """The lexicon cannot be read. The message names the file and the entry."""


@dataclass(frozen=True, slots=True)
class LexiconEntry:
    """How a word is spoken: `respell` has other words for it, `phonemes` its sounds."""

    word: str
    respell: str = ""
    phonemes: str = ""
    language: str = ""
    book: str = ""
    voice: str = ""

    @property
    def scope(self) -> tuple[str, str, str]:
        return self.voice, self.book, primary_subtag(self.language)

    @property
    def any_case(self) -> bool:
        return self.word == self.word.lower()

    def matches(self, text: str) -> bool:
        return self.any_case or text == self.word or text == self.word.upper()

    def speak(self, text: str) -> str:
        """What the engine gets for `text`."""
        return f"[{text}](/{self.phonemes}/)" if self.phonemes else self.respell


@dataclass(frozen=True)
class Lexicon:
    """The entries of a file."""

    entries: tuple[LexiconEntry, ...] = ()
    name: str = field(default="", compare=False)

    @cached_property
    def digest(self) -> str:
        return fingerprint([[getattr(entry, key) for key in _KEYS] for entry in self.entries])

    @property
    def phoneme_count(self) -> int:
        """How many entries have phonemes, which not every engine takes."""
        return sum(bool(entry.phonemes) for entry in self.entries)

    def select(self, language: str, books: frozenset[str], voice: str, *, phonemes: bool) -> "LexiconMatcher":
        """The entries for a language, a book by any of its names, and a voice; without `phonemes`, respellings only."""
        return _select(self, primary_subtag(language), books, voice, phonemes)


@dataclass(frozen=True)
class LexiconMatcher:
    """The entries that apply to a text, by their case-folded word; the most special one first."""

    by_word: Mapping[str, tuple[LexiconEntry, ...]]

    @cached_property
    def _pattern(self) -> re.Pattern[str] | None:
        words = sorted(
            {entry.word for entries in self.by_word.values() for entry in entries}, key=lambda w: (-len(w), w)
        )
        choices = "|".join(_word_pattern(word) for word in words)
        return re.compile(rf"(?<!\w)(?:{choices})(?!\w)") if words else None

    def find_edits(self, text: str) -> list[Edit]:
        if self._pattern is None:
            return []
        edits: list[Edit] = []
        for match in self._pattern.finditer(text):
            found = self.by_word.get(_fold(match[0]), ())
            entry = next((entry for entry in found if entry.matches(" ".join(match[0].split()))), None)
            if entry is not None:
                edits.append(Edit(match.start(), match.end(), entry.speak(match[0])))
        return edits


@lru_cache(maxsize=256)
def _select(lexicon: Lexicon, language: str, books: frozenset[str], voice: str, phonemes: bool) -> LexiconMatcher:
    by_word: dict[str, list[LexiconEntry]] = {}
    for entry in lexicon.entries:
        entry_voice, book, entry_language = entry.scope
        if (
            (not entry_voice or entry_voice == voice)
            and (not book or book in books)
            and (not entry_language or entry_language == language)
            and (phonemes or not entry.phonemes)
        ):
            by_word.setdefault(_fold(entry.word), []).append(entry)
    for entries in by_word.values():
        # An entry with capital letters is more special than one for any case.
        entries.sort(key=lambda entry: (*(not part for part in entry.scope), entry.any_case))
    return LexiconMatcher({word: tuple(entries) for word, entries in by_word.items()})


def _fold(word: str) -> str:
    return " ".join(word.lower().split())


def _word_pattern(word: str) -> str:
    parts = r"\s+".join(map(re.escape, word.split()))
    if word == word.lower():
        return f"(?i:{parts})"
    capitals = r"\s+".join(map(re.escape, word.upper().split()))
    return parts if capitals == parts else f"{parts}|{capitals}"


def load_lexicon(path: str) -> Lexicon:
    """The lexicon in a file; an empty one for "". Raises `LexiconError`."""
    if not path:
        return Lexicon()
    try:
        data = Path(path).expanduser().read_bytes()
    except (OSError, RuntimeError) as error:
        raise LexiconError(f"audiobook.lexicon: {path} cannot be read: {error}") from None
    return parse_lexicon(data, path)


def parse_lexicon(data: bytes, name: str) -> Lexicon:
    """The lexicon `data` of a file called `name`. Raises `LexiconError`."""
    is_toml = PurePosixPath(name).suffix.lower() == ".toml"
    entries: dict[tuple[str, tuple[str, str, str]], int] = {}
    result: list[LexiconEntry] = []
    for number, values in enumerate(_read_toml(data, name) if is_toml else _read_pls(data, name), 1):
        entry = _make_entry(values, f"{name}: entry {number}")
        key = entry.word if not entry.any_case else _fold(entry.word), entry.scope
        if key in entries:
            raise LexiconError(
                f"{name}: entry {number} ({entry.word!r}) has the same word, language, book and voice as entry "
                f"{entries[key]}; remove one of them"
            )
        entries[key] = number
        result.append(entry)
    return Lexicon(tuple(result), name)


def _make_entry(values: Mapping[str, Any], where: str) -> LexiconEntry:
    word = values.get("word")
    if not isinstance(word, str) or not any(map(str.isalnum, word)):
        raise LexiconError(f"{where} has no word")
    where = f"{where} ({word!r})"
    if unknown := sorted(values.keys() - set(_KEYS)):
        raise LexiconError(f"{where}: unknown key {unknown[0]!r}; an entry has {', '.join(_KEYS)}")
    for key, value in values.items():
        if not isinstance(value, str) or not value.strip():
            raise LexiconError(f"{where}: {key} must be a text that is not empty, not {value!r}")
    clean = {key: unicodedata.normalize("NFC", " ".join(value.split())) for key, value in values.items()}
    if ("respell" in clean) == ("phonemes" in clean):
        raise LexiconError(f"{where} must have either respell or phonemes")
    clean["phonemes"] = clean.get("phonemes", "").strip("/")
    spoken = clean.get("respell") or clean["phonemes"]
    if not any(map(str.isalnum, spoken)):
        raise LexiconError(f"{where}: {spoken!r} has no letter or digit")
    if bad := sorted({*spoken} & _MARKUP) or (["/"] if "/" in clean["phonemes"] else []):
        raise LexiconError(f"{where}: {bad[0]!r} is not allowed in {spoken!r}")
    if clean["phonemes"] and {*word} & _MARKUP:
        raise LexiconError(f"{where}: a word with phonemes must be without brackets")
    return LexiconEntry(**clean)


def _read_toml(data: bytes, name: str) -> list[dict[str, Any]]:
    try:
        values = tomllib.loads(data.decode("utf-8-sig"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise LexiconError(f"{name} is not TOML: {error}") from None
    if unknown := sorted(values.keys() - {"entry"}):
        raise LexiconError(f"{name}: unknown key {unknown[0]!r}; a lexicon has [[entry]] tables only")
    entries = values.get("entry", [])
    if not isinstance(entries, list) or not all(isinstance(item, dict) for item in entries):
        raise LexiconError(f"{name}: entry must be a list of tables: [[entry]]")
    return entries


def _read_pls(data: bytes, name: str) -> Iterator[dict[str, Any]]:
    """The lexemes of a PLS file, one entry for each grapheme."""
    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, remove_comments=True)
    try:
        root = etree.fromstring(data, parser)
    except etree.XMLSyntaxError as error:
        raise LexiconError(f"{name} is not XML: {error}") from None
    if root.getroottree().docinfo.internalDTD is not None:
        raise LexiconError(f"{name} has a DOCTYPE; a lexicon must be without one")
    if root.tag != f"{{{_PLS}}}lexicon":
        raise LexiconError(f"{name} is not a lexicon of the namespace {_PLS}")
    for lexeme in root.iterchildren(f"{{{_PLS}}}lexeme"):
        where = f"{name} line {lexeme.sourceline}"
        spoken = _pls_pronunciation(lexeme)
        language = lexeme.get(_XML_LANGUAGE) or root.get(_XML_LANGUAGE) or ""
        graphemes = [_text(item) for item in lexeme.iterchildren(f"{{{_PLS}}}grapheme")]
        if not graphemes or not spoken:
            raise LexiconError(f"{where}: a lexeme needs a grapheme, and a phoneme or an alias")
        for grapheme in graphemes:
            yield {"word": grapheme, **spoken, **({"language": language} if language else {})}


def _pls_pronunciation(lexeme: Any) -> dict[str, str]:
    """The preferred pronunciation, else the first one."""
    choices = list(lexeme.iterchildren(f"{{{_PLS}}}phoneme", f"{{{_PLS}}}alias"))
    if not choices:
        return {}
    chosen = next((item for item in choices if item.get("prefer") == "true"), choices[0])
    return {"phonemes" if chosen.tag.endswith("phoneme") else "respell": _text(chosen)}


def _text(element: Any) -> str:
    return " ".join("".join(element.itertext()).split())
