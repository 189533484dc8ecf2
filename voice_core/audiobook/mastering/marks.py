"""Where each sentence and each word of a chapter is, in samples."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from voice_core.audiobook.mastering.assembly import ChunkSpan
from voice_core.audiobook.mastering.chapter_source import ChapterSource, SpokenChunk
from voice_core.audiobook.mastering.master import MasteredChapter
from voice_core.recognition.text_words import split_words


@dataclass(frozen=True, slots=True)
class WordMark:
    """A word of the book, from sample `start` to `end` of its chapter."""

    text: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class SentenceMark:
    """A sentence, or the part of one that is in a chunk. `index` counts the sentences of the chunk from 0."""

    chunk_id: str
    index: int
    text: str
    start: int
    end: int
    words: tuple[WordMark, ...] = ()
    speaker: str = ""


def sentence_slices(text: str, sentences: str) -> list[tuple[int, int]]:
    """The sentences of a chunk as slices of its text, white space at their ends left out; all of it where the chunk has
    none.

    >>> sentence_slices("One. Two.", "[[0, 5], [5, 9]]"), sentence_slices(" One ", "[]")
    ([(0, 4), (5, 9)], [(1, 4)])
    """
    slices = []
    for start, end in json.loads(sentences) or [[0, len(text)]]:
        part = text[start:end]
        begin = start + len(part) - len(part.lstrip())
        if part.strip():
            slices.append((begin, begin + len(part.strip())))
    return slices or [(0, len(text))]


def mark_chapter(chapter: ChapterSource, master: MasteredChapter, rate_hz: int) -> list[SentenceMark]:
    """The sentences of a chapter's chunks with speech, in order, none of which overlaps another."""
    pairs = zip(chapter.spoken, master.spans, strict=True)
    return [mark for chunk, span in pairs for mark in mark_chunk(chunk, span, rate_hz)]


def mark_chunk(chunk: SpokenChunk, span: ChunkSpan, rate_hz: int) -> list[SentenceMark]:
    """The sentences of a chunk. The first begins and the last ends with the chunk.

    Where the words of the speech are not those of the text, sentences and words are spread by their length.
    """
    row = chunk.row
    slices = sentence_slices(row.text, row.sentences)
    groups = _timed_words(chunk, slices, span, rate_hz) or _spread_words(row.text, slices, span)
    starts = [span.start, *(words[0].start for words in groups[1:])]
    ends = [min(words[-1].end, after) for words, after in zip(groups, [*starts[1:], span.end], strict=True)]
    ends[-1] = span.end
    return [
        SentenceMark(row.chunk_id, index, row.text[begin:end], start, stop, tuple(words), row.speaker)
        for index, ((begin, end), start, stop, words) in enumerate(zip(slices, starts, ends, groups, strict=True))
    ]


def _timed_words(
    chunk: SpokenChunk, slices: Sequence[tuple[int, int]], span: ChunkSpan, rate_hz: int
) -> list[list[WordMark]] | None:
    """The words of each sentence at their times; None where they do not fit the text."""
    groups: list[list[WordMark]] = [[] for _ in slices]
    at = sentence = 0
    before = span.start
    for word in chunk.audio.word_times():
        token = word.text.split()[0] if word.text.split() else ""
        found = chunk.row.text.find(token, at)
        if not token or found < 0:
            return None
        at = found + len(token)
        while sentence + 1 < len(slices) and found >= slices[sentence + 1][0]:
            sentence += 1
        start = max(before, span.start + round(word.start_sec * rate_hz) - span.lead)
        end = min(span.end, span.start + round(word.end_sec * rate_hz) - span.lead)
        if not start < end:
            return None
        groups[sentence].append(WordMark(word.text, start, end))
        before = end
    return groups if all(groups) else None


def _spread_words(text: str, slices: Sequence[tuple[int, int]], span: ChunkSpan) -> list[list[WordMark]]:
    """The words of each sentence, each as long as its share of the letters."""
    texts = [split_words(text[begin:end]) or [text[begin:end]] for begin, end in slices]
    lengths = [len(word) + 1 for words in texts for word in words]
    edges = span.start + np.round(np.concatenate([[0], np.cumsum(lengths)]) * (span.count / sum(lengths)))
    places = iter(pairwise(edges.astype(int).tolist()))
    return [[WordMark(word, *next(places)) for word in words] for words in texts]
