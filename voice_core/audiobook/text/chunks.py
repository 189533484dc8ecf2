"""The chunks of a block: sentences that are spoken at once, none longer than the engine's limit."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from voice_core.audiobook.text.edits import Span
from voice_core.audiobook.text.sentences import has_words, split_long, split_sentences, trim
from voice_core.audiobook.text.speakable import ORNAMENT, Refusal
from voice_core.audiobook.text.spoken import SpokenText, without_phonemes


class Speak(Protocol):
    """The spoken text of a text, in words or as it is written."""

    def __call__(self, text: str, *, in_words: bool = True) -> SpokenText: ...


@dataclass(frozen=True, slots=True)
class Chunk:
    """`text[start:end]` of a block. `sentences` are the sentences in it, or the parts of a longer one. `ends_sentence`
    is false where a sentence goes on in the next chunk. `refusal` says why the engine cannot speak it; `skipped` why it
    is left out."""

    start: int
    end: int
    sentences: tuple[Span, ...] = ()
    ends_sentence: bool = True
    skipped: str = ""
    refusal: Refusal | None = None

    @property
    def is_spoken(self) -> bool:
        return not self.skipped and self.refusal is None


def split_chunks(
    text: str, start: int, end: int, language: str, limit: int, shortest: int, refusals: Sequence[Refusal] = ()
) -> list[Chunk]:
    """The chunks of `text[start:end]`, which together cover it up to white space.

    A sentence of less than `shortest` characters is joined with the next one, the last with the one before.
    """
    sentences = [(start + a, start + b) for a, b in split_sentences(text[start:end], language, limit)]
    return [*_join_short(_split_at(text, start, end, sentences, refusals, limit), limit, shortest)]


def _split_at(
    text: str, start: int, end: int, sentences: Sequence[Span], refusals: Sequence[Refusal], limit: int
) -> Iterator[Chunk]:
    """One chunk for each sentence, part of a sentence, and refused part, in order."""
    at = start
    for refusal in [*refusals, Refusal(end, end, "", "")]:
        for first, last in sentences:
            if first < refusal.start and at < last:
                fragment = trim(text, max(first, at), min(last, refusal.start))
                yield from _split_fragment(text, *fragment, limit, ends_sentence=last <= refusal.start)
        if refusal.start < refusal.end:
            yield Chunk(refusal.start, refusal.end, refusal=refusal)
        at = refusal.end


def _split_fragment(text: str, start: int, end: int, limit: int, *, ends_sentence: bool) -> Iterator[Chunk]:
    parts = split_long(text, start, end, limit)
    for first, last in parts:
        skipped = "" if has_words(text[first:last]) else ORNAMENT
        yield Chunk(first, last, ((first, last),), ends_sentence and last == parts[-1][1], skipped)


def _join_short(chunks: Iterable[Chunk], limit: int, shortest: int) -> list[Chunk]:
    result: list[Chunk] = []
    for chunk in chunks:
        if result and _length(result[-1]) < shortest and _can_join(result[-1], chunk, limit):
            result[-1] = _join(result[-1], chunk)
        else:
            _join_last(result, limit, shortest, before=chunk)
            result.append(chunk)
    _join_last(result, limit, shortest)
    return result


def _join_last(result: list[Chunk], limit: int, shortest: int, before: Chunk | None = None) -> None:
    """Join the last chunk with the one before it where it is short and nothing spoken follows."""
    if before is not None and before.is_spoken:
        return
    if len(result) > 1 and _length(result[-1]) < shortest and _can_join(result[-2], result[-1], limit):
        last = result.pop()
        result[-1] = _join(result[-1], last)


def _length(chunk: Chunk) -> int:
    return chunk.end - chunk.start


def _can_join(first: Chunk, second: Chunk, limit: int) -> bool:
    return first.is_spoken and second.is_spoken and second.end - first.start <= limit


def _join(first: Chunk, second: Chunk) -> Chunk:
    return Chunk(first.start, second.end, first.sentences + second.sentences, second.ends_sentence)


def fit_spoken(text: str, chunk: Chunk, limit: int, speak: Speak) -> Iterator[tuple[Chunk, SpokenText]]:
    """The chunk with its spoken text, or parts of it where the spoken text is longer than `limit`: "$1,250" grows."""
    source = text[chunk.start : chunk.end]
    spoken = speak(source)
    size = len(without_phonemes(spoken.text))
    if size <= limit:
        yield chunk, spoken
        return
    if len(chunk.sentences) > 1:
        parts = [Chunk(*span, (span,)) for span in chunk.sentences]
    else:
        longest_word = max(map(len, source.split()))
        smaller = min(len(source) - 1, max(longest_word, int(0.9 * len(source) * limit / size)))
        spans = split_long(text, chunk.start, chunk.end, smaller)
        parts = [Chunk(*span, (span,), ends_sentence=False) for span in spans]
        within_words = any(text[span[1] - 1].isalnum() and text[span[1]].isalnum() for span in spans[:-1])
        if within_words or not all(has_words(text[first:last]) for first, last in spans):
            message = f"spoken as it is written: in words it has {size:,} characters, and at most {limit:,} are spoken"
            yield chunk, replace(speak(source, in_words=False), message=message)
            return
    parts[-1] = replace(parts[-1], ends_sentence=chunk.ends_sentence)
    for part in parts:
        yield from fit_spoken(text, part, limit, speak)
