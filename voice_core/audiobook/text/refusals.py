"""The parts of a text that the engine cannot speak, once the lexicon and the rules of the language are applied."""

from voice_core.audiobook.text.arabic import find_arabic_edits
from voice_core.audiobook.text.edits import Span
from voice_core.audiobook.text.english import GREEK_LETTER
from voice_core.audiobook.text.lexicon import LexiconMatcher
from voice_core.audiobook.text.speakable import Refusal, Speaker, find_refusals
from voice_core.language import is_english, primary_subtag


def find_unspeakable(text: str, language: str, matcher: LexiconMatcher, engine: Speaker) -> list[Refusal]:
    """The parts of a text that neither the engine can speak nor a rule says in other words."""
    covered: list[Span] = [(edit.start, edit.end) for edit in matcher.find_edits(text)]
    if is_english(language) and not text.isascii():
        covered += [match.span() for match in GREEK_LETTER.finditer(text)]
    elif primary_subtag(language) == "ar" and engine.capabilities.languages:
        covered += [(edit.start, edit.end) for edit in find_arabic_edits(text)]
    return find_refusals(text, engine, covered)
