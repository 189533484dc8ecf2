"""From the book's words to what the engine gets, with a map between both."""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass

from voice_core.audiobook.text.arabic import find_arabic_edits
from voice_core.audiobook.text.edits import Edit, apply_edits, find_map_problem, merge_edits, sort_edits
from voice_core.audiobook.text.english import find_english_edits
from voice_core.audiobook.text.lexicon import LexiconMatcher
from voice_core.fingerprint import canonical_json
from voice_core.language import primary_subtag
from voice_core.stages.checks import list_first
from voice_core.tts.base import Capabilities

_LINK = re.compile(r"\](?=\()")
_PHONEMES = re.compile(r"\[([^\[\]]+)\]\(/[^()]*/\)")
_LINE_END = re.compile(r"\s*\n\s*")
_DIGITS = re.compile(r"\d[\d.,]*")
NORMALISED_LANGUAGES = ("en", "ar")


@dataclass(frozen=True, slots=True)
class SpokenText:
    """What the engine gets for a text. `spans` is [[start, end, spoken start, spoken end], …]."""

    text: str
    spans: Sequence[Sequence[int]] = ()
    message: str = ""

    @property
    def map_json(self) -> str:
        return canonical_json(self.spans)


def speak_text(
    text: str,
    language: str,
    lexicon: LexiconMatcher,
    capabilities: Capabilities,
    *,
    heading: bool = False,
    in_words: bool = True,
) -> SpokenText:
    """Numbers, abbreviations and signs of a text in words, and the words of the lexicon as it has them.

    Text of languages without rules stays as it is, apart from the lexicon; its numbers are in the message. Without
    `in_words` all text stays as it is; only what the engine would read as markup is changed.
    """
    if not in_words:
        return SpokenText(*apply_edits(text, _protect(text, [], capabilities)))
    first = lexicon.find_edits(text)
    message = ""
    match primary_subtag(language):
        case "en":
            edits = merge_edits(text, first, lambda part: find_english_edits(part, heading=heading))
        case "ar":
            edits = merge_edits(text, first, find_arabic_edits)
        case _:
            edits = first
            if digits := _DIGITS.findall(text):
                message = f"numbers are left to the engine: {list_first(digits, ', ')}"
    edits = _protect(text, edits, capabilities)
    spoken, spans = apply_edits(text, edits)
    problem = find_map_problem(text, spoken, spans)
    if capabilities.inline_phonemes and spoken.count("](") != sum("](" in edit.spoken for edit in first):
        problem = "it has brackets that the engine reads as phonemes"
    if problem:
        spoken, spans = apply_edits(text, _protect(text, [], capabilities))
        message = f"spoken as it is written, since the text in words does not fit: {problem}"
    return SpokenText(spoken, spans, message)


def _protect(text: str, edits: Sequence[Edit], capabilities: Capabilities) -> list[Edit]:
    """With edits that keep the engine from reading text as markup: lines become spaces, and where the engine takes
    `[word](/phonemes/)`, brackets of the book get a space between them."""
    own = [Edit(match.start(), match.end(), " ") for match in _LINE_END.finditer(text)]
    if capabilities.inline_phonemes:
        own += [Edit(match.start(), match.end(), "] ") for match in _LINK.finditer(text)]
    inside = [item for item in own if not any(edit.start < item.end and item.start < edit.end for edit in edits)]
    return sort_edits([*edits, *inside])


def without_phonemes(spoken_text: str) -> str:
    """What is heard: the spoken text without the markup of phonemes.

    >>> without_phonemes("Miss [Dashwood](/dˈæʃwʊd/) left.")
    'Miss Dashwood left.'
    """
    return _PHONEMES.sub(r"\1", spoken_text)


def parse_map(text_map: str) -> list[list[int]]:
    """The spans of `ChunkRow.text_map`."""
    spans: list[list[int]] = json.loads(text_map)
    return spans
