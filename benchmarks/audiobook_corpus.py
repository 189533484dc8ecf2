"""Books to be spoken: a file that BENCH_BOOK names, or text that is generated."""

import os
import random
import textwrap
from pathlib import Path
from typing import Final

BOOK_VARIABLE: Final = "BENCH_BOOK"
"""A text file, such as a novel of Debian's package r-cran-janeaustenr."""
_CHAPTER_WORDS: Final = 2_000
_LINE: Final = 72
_NAMES: Final = (
    "Mrs. Allen", "Mr. Tilney", "Catherine", "Isabella", "Captain Wentworth", "Lady Russell", "Anne", "James",
    "Henry", "Eleanor",
)  # fmt: skip
_NOUNS: Final = (
    "harbour", "letter", "window", "carriage", "garden", "evening", "question", "journey", "kitchen", "river",
    "captain", "sister", "library", "answer", "winter", "morning", "village", "bridge", "candle", "neighbour",
    "story", "market", "visitor", "forest", "picture", "engine", "island", "ticket", "shoulder", "promise",
)  # fmt: skip
_VERBS: Final = (
    "remembered", "carried", "expected", "noticed", "left", "opened", "described", "followed", "lost",
    "mentioned", "repaired", "admired", "sold", "wanted",
)  # fmt: skip
_QUALITIES: Final = (
    "quiet", "old", "curious", "distant", "pleasant", "narrow", "heavy", "plain", "sudden", "careful", "green",
    "wooden", "famous", "early", "small", "honest",
)  # fmt: skip
_FRAMES: Final = (
    "{name} {verb} the {quality} {noun} before the {noun2} was ready.",
    "Nobody had {verb} the {noun}, and yet the {quality} {noun2} seemed to be waiting for {name}.",
    "There was a {quality} {noun} near the {noun2}; it had been there for {number} years.",
    '"I have never seen such a {quality} {noun}," said {name}, "and I hope to see it again."',
    "When the {noun} {verb} its {noun2}, {name} thought of the {quality} days at the {noun3}.",
    '"Is that your {noun}?" asked {name}.',
    "In the {noun} by the {noun2}, {number} people {verb} the {quality} {noun3} until it was dark.",
)


def book_text(words: int) -> tuple[str, str]:
    """A hard-wrapped book of about so many words, with chapters, and where it is from."""
    named = os.environ.get(BOOK_VARIABLE)
    if named:
        return _beginning(Path(named).read_text(encoding="utf-8"), words), Path(named).name
    return generate_book(words), "generated text"


def _beginning(text: str, words: int) -> str:
    """The paragraphs from the beginning that hold so many words; all of them where the text has fewer."""
    taken: list[str] = []
    count = 0
    for paragraph in text.split("\n\n"):
        taken.append(paragraph)
        count += len(paragraph.split())
        if count >= words:
            break
    return "\n\n".join(taken) + "\n"


def generate_book(words: int) -> str:
    """Chapters of 2,000 words of plain sentences, no two paragraphs alike; equal counts give equal text."""
    rng = random.Random(0)
    parts: list[str] = []
    count = chapter = 0
    while count < words:
        chapter += 1
        parts.append(f"\nCHAPTER {chapter}\n")
        end = min(words, count + _CHAPTER_WORDS)
        while count < end:
            paragraph = " ".join(_sentence(rng) for _ in range(rng.randint(2, 7)))
            count += len(paragraph.split())
            parts.append(textwrap.fill(paragraph, _LINE))
    return "\n\n".join(parts) + "\n"


def _sentence(rng: random.Random) -> str:
    nouns = rng.sample(_NOUNS, 3)
    return rng.choice(_FRAMES).format(
        name=rng.choice(_NAMES),
        verb=rng.choice(_VERBS),
        quality=rng.choice(_QUALITIES),
        noun=nouns[0],
        noun2=nouns[1],
        noun3=nouns[2],
        number=rng.randint(2, 900),
    )
