"""Speakers: `[Name]: …` at the beginning of a block or a line gives the text a voice."""

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from voice_core.audiobook.model import Book, BookError
from voice_core.language import pluralize

_TAG = re.compile(r"\[(?P<name>(?!(?:Illustration|Footnote|Sidenote|Note)\b)[^\W\d_][^\[\]\n]{0,59})\]\s?:(?!/)[ \t]*")
_LONGEST_END = 40  # characters of punctuation and spaces at a sentence's end
_SENTENCE_END = re.compile(r"[.!?…؟。][\"”’»)\]]*\s+$")


@dataclass(frozen=True, slots=True)
class SpeakerPart:
    """A part of a block: the tag is `text[start:tag_end]`, what is said `text[tag_end:end]`. `name` is "" for the
    narrator, whose parts have no tag."""

    name: str
    start: int
    tag_end: int
    end: int


def split_speakers(text: str) -> list[SpeakerPart]:
    """The parts of a block by speaker. A tag holds until the next one or the end of its block.

    In a block that begins with a tag, another one may follow the end of any sentence: the lines of a text may have been
    joined to one paragraph.

    >>> [(part.name, "[A]: Hi. [B]: Yo."[part.tag_end : part.end]) for part in split_speakers("[A]: Hi. [B]: Yo.")]
    [('A', 'Hi. '), ('B', 'Yo.')]
    """
    tags = [*_find_tags(text)]
    if not tags:
        return [SpeakerPart("", 0, 0, len(text))]
    parts = [SpeakerPart("", 0, 0, tags[0].start())] if tags[0].start() else []
    ends = [*(tag.start() for tag in tags[1:]), len(text)]
    for tag, end in zip(tags, ends, strict=True):
        parts.append(SpeakerPart(" ".join(tag["name"].split()), tag.start(), tag.end(), end))
    return parts


def _find_tags(text: str) -> Iterator[re.Match[str]]:
    if "]" not in text:
        return
    tagged = False
    first = len(text) - len(text.lstrip())
    for match in _TAG.finditer(text):
        start = match.start()
        line = text.rfind("\n", 0, start) + 1
        tagged |= start <= first
        begins = start <= first or (line > 0 and not text[line:start].strip(" \t"))
        if begins or (tagged and _SENTENCE_END.search(text, max(0, start - _LONGEST_END), start)):
            yield match


def check_speakers(book: Book, voices: Mapping[str, str], name: str = "") -> None:
    """Raises `BookError` with all names that have no voice, and how often each speaks. `name` is the book's key."""
    counts = Counter(
        part.name
        for chapter in book.chapters
        for block in chapter.blocks
        if block.is_spoken
        for part in split_speakers(block.text)
        if part.name
    )
    unknown = sorted(counts.keys() - voices.keys())
    if unknown:
        listed = ", ".join(f"{name} ({pluralize(counts[name], 'line')})" for name in unknown)
        known = ", ".join(sorted(voices)) or "none"
        raise BookError(
            f"{name or book.title}: no voice is set for {listed}; names with a voice: {known}. Set the voice of each "
            'name in VOICE_AUDIOBOOK__VOICES, such as {"Name": "heart"}'
        )
