"""From the times of the spoken words to those of the book's words."""

from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate

from voice_core.audiobook.chunk_manifest import ChunkRow
from voice_core.audiobook.text.spoken import parse_map, without_phonemes
from voice_core.recognition.text_words import split_words
from voice_core.recognition.word_times import Word

_DECIMALS = 4  # as the aligners


def split_spoken_text(row: ChunkRow) -> list[str]:
    """The words that are heard, one by one: those that an aligner is given, and a recogniser should find."""
    return split_words(without_phonemes(row.spoken_text))


def map_words(row: ChunkRow, words: Sequence[Word]) -> tuple[Word, ...]:
    """The times of the words of `row.text` from those of `split_spoken_text(row)`.

    A word of the book that is spoken as several words lasts from the first to the last of them; where several words of
    the book are spoken in other words, they share that time by their length. Raises ValueError where `words` are not
    the spoken words.
    """
    texts = split_spoken_text(row)
    if [word.text for word in words] != texts:
        raise ValueError(f"chunk {row.chunk_id}: {len(words)} words have times, but the spoken text has {len(texts)}")
    book_words = split_words(row.text)
    if not book_words or not texts:
        return ()
    # Positions count characters that are not white space: so words follow each other without gaps.
    ends = [*accumulate(_size(text) for text in texts)]
    position = _PositionMap(row)
    result: list[Word] = []
    start = 0
    for text in book_words:
        end = start + _size(text)
        begins, stops = position(start), position(end)
        start_sec = _time_at(words, ends, begins, at_end=False)
        end_sec = max(start_sec, _time_at(words, ends, stops, at_end=True))
        if result:
            start_sec = max(start_sec, result[-1].end_sec)
            end_sec = max(start_sec, end_sec)
        result.append(Word(text, start_sec, end_sec))
        start = end
    return tuple(result)


def _size(text: str) -> int:
    return sum(not char.isspace() for char in text)


class _PositionMap:
    """From a position in the book's text to one in what is heard, both counted without white space."""

    def __init__(self, row: ChunkRow) -> None:
        self._points = [(0, 0)]
        at = spoken_at = 0
        for start, end, spoken_start, spoken_end in parse_map(row.text_map):
            before = _size(row.text[at:start])
            heard = _size(without_phonemes(row.spoken_text[spoken_start:spoken_end]))
            self._add(before, before)
            self._add(_size(row.text[start:end]), heard)
            at, spoken_at = end, spoken_end
        self._add(_size(row.text[at:]), _size(row.spoken_text[spoken_at:]))
        self._book = [point[0] for point in self._points]

    def _add(self, book: int, spoken: int) -> None:
        last = self._points[-1]
        self._points.append((last[0] + book, last[1] + spoken))

    def __call__(self, position: int) -> float:
        index = min(bisect_right(self._book, position), len(self._points) - 1)
        (book, spoken), (next_book, next_spoken) = self._points[index - 1], self._points[index]
        if next_book == book:
            return float(next_spoken)
        return spoken + (position - book) * (next_spoken - spoken) / (next_book - book)


def _time_at(words: Sequence[Word], ends: Sequence[int], position: float, *, at_end: bool) -> float:
    """The time at a position; between two words, the end of the first or the start of the second."""
    index = min(bisect_right(ends, position), len(words) - 1)
    if at_end and index and position <= ends[index - 1]:
        index -= 1
    begin = ends[index - 1] if index else 0
    share = min(1.0, max(0.0, (position - begin) / max(1, ends[index] - begin)))
    word = words[index]
    if share == 1.0:
        return word.end_sec
    if share == 0.0:
        return word.start_sec
    return round(word.start_sec + share * (word.end_sec - word.start_sec), _DECIMALS)
