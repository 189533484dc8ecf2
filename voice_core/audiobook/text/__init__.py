"""Text of audiobooks: chunks, what the engine gets for them, and the way back to the book's words."""

from voice_core.audiobook.text.lexicon import Lexicon, LexiconError, load_lexicon, parse_lexicon
from voice_core.audiobook.text.rows import book_language, make_rows, spoken_characters
from voice_core.audiobook.text.spoken import without_phonemes
from voice_core.audiobook.text.word_map import map_words, split_spoken_text

__all__ = [
    "Lexicon",
    "LexiconError",
    "book_language",
    "load_lexicon",
    "make_rows",
    "map_words",
    "parse_lexicon",
    "split_spoken_text",
    "spoken_characters",
    "without_phonemes",
]
