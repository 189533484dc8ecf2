"""The player of an audiobook: its text with the word lit that is spoken, what was skipped and why, and the exceptions.

A notebook shows the first minute of a book and its worst exceptions in the Dagster UI; a page shows all of the text.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from voice_core.audiobook.audio_manifest import ChunkAudioManifest
from voice_core.audiobook.chunk_manifest import BookManifest
from voice_core.language import pluralize
from voice_core.layout import BookKey
from voice_core.report.book_sound import BIT_RATE, ExceptionCard, Reading, SpeechReader
from voice_core.report.book_text import BookLine, join_book, rank_exceptions
from voice_core.report.clips import WAVE_HEIGHT, WAVE_WIDTH
from voice_core.report.notebook import compute_notebook_version, render_notebook
from voice_core.report.templates import template_environment
from voice_core.storage.store import Store

_TEMPLATE = "book_page.html.j2"
_NOTEBOOK_SEC = 60.0
_NOTEBOOK_EXCEPTIONS, _NOTEBOOK_EXCEPTIONS_SEC = 6, 30.0
_PAGE_SEC = 480.0  # of chapters in one page: 48 kbit/s in base64 make 3.8 MB of it
_PAGE_EXCEPTIONS, _PAGE_EXCEPTIONS_SHARE = 12, 0.25  # of the budget, in addition to it
_LEAST_SEC = 5.0  # a chapter of which less would be embedded has no sound


@dataclass(frozen=True, slots=True)
class ChapterView:
    """A chapter of the page. `number` is 0 for the text outside of all chapters."""

    number: int
    title: str
    level: int
    reading: Reading
    exceptions: int


@dataclass(frozen=True, slots=True)
class BookPage:
    """The contents of the page. `playable` are the chunks whose sound is in a chapter of the page."""

    book: BookManifest
    chapters: Sequence[ChapterView]
    outside: ChapterView | None
    exceptions: Sequence[ExceptionCard]
    playable: frozenset[str]
    seconds: float
    chunks: int
    missing: int
    approximate: int
    left_out: dict[str, int]  # characters that are not spoken, by reason
    embedded: bool

    @property
    def language(self) -> str:
        return str(self.book.metadata.get("language") or "")

    @property
    def authors(self) -> str:
        authors = self.book.metadata.get("authors") or ()
        return authors if isinstance(authors, str) else ", ".join(map(str, authors))


def render_book_notebook(work: Store, book: BookManifest, audio: ChunkAudioManifest) -> bytes:
    """The first minute of a book and its worst exceptions. Its version is that of `audio`, which is made of `book`."""
    lines = join_book(book, audio)
    reader = _reader(work, book, audio)
    first = reader.embed(_first_lines(lines, _NOTEBOOK_SEC, audio.sample_rate_hz), _NOTEBOOK_SEC, outline=True)
    ranked = rank_exceptions(lines)
    cards = reader.embed_exceptions(ranked[:_NOTEBOOK_EXCEPTIONS], _NOTEBOOK_EXCEPTIONS_SEC)
    lead = "The first minute of the book." if first.audio else "No text of this book was spoken."
    if len(cards) < len(ranked):
        lead += f" {pluralize(len(ranked), 'exception')}, the worst {len(cards)} are shown."
    else:
        lead += f" {pluralize(len(ranked), 'exception')}."
    return render_notebook(
        compute_notebook_version(audio), title=book.title, lead=lead, reading=first, exceptions=cards
    )


def render_book_page(
    work: Store,
    book: BookManifest,
    audio: ChunkAudioManifest,
    audio_url: Callable[[int], str] | None = None,
    *,
    starts_sec: Mapping[str, float] | None = None,
    seconds: float | None = None,
) -> str:
    """The page of a book: HTML without external resources, except for the chapters' sound at `audio_url(chapter)`.

    `starts_sec` is when the first sample of each chunk's file is in the sound of its chapter, or would be where its
    beginning was cut, by chunk id; `audio_url` needs it. A chapter without any of these chunks has no sound. Without
    `audio_url` the sound of the first chapters is embedded, at most `seconds` of it (480 by default), and that of the
    worst exceptions that are not among them, at most a quarter of that. Equal arguments give equal pages.

    Raises ValueError for `audio_url` without `starts_sec`.
    """
    if audio_url is not None and starts_sec is None:
        raise ValueError("audio_url is given without starts_sec: the page needs the start of each chunk in these files")
    lines = join_book(book, audio)
    reader = _reader(work, book, audio)
    budget_sec = _PAGE_SEC if seconds is None else seconds
    exceptions_sec = _PAGE_EXCEPTIONS_SHARE * budget_sec
    least_sec = min(_LEAST_SEC, budget_sec)
    by_chapter: dict[int, list[BookLine]] = {number: [] for number in range(1, len(book.chapters) + 1)}
    for line in lines:
        by_chapter.setdefault(line.row.chapter, []).append(line)
    outside = by_chapter.pop(0, [])
    chapters = []
    for number, inside in sorted(by_chapter.items()):
        title, level = book.chapters[number - 1] if number <= len(book.chapters) else ("", 1)
        if audio_url is not None:
            reading = reader.link(inside, audio_url(number), starts_sec or {})
        elif budget_sec > 0 and budget_sec >= least_sec:
            reading = reader.embed(inside, budget_sec)
            budget_sec = 0.0 if reading.shortened else budget_sec - reading.shown_sec
        else:
            reading = reader.show(inside)
        chapters.append(_view(number, title, level, reading, inside))
    playable = frozenset(chunk for chapter in chapters for chunk in _timed_chunks(chapter.reading))
    page = BookPage(
        book,
        chapters,
        _view(0, "", 1, reader.show(outside), outside) if outside else None,
        _cards(reader, rank_exceptions(lines), playable, exceptions_sec),
        playable,
        sum(chapter.reading.seconds for chapter in chapters),
        sum(line.row.is_spoken for line in lines),
        sum(line.status == "missing" for line in lines),
        sum(line.speech is not None and line.speech.spoken and line.speech.approximate for line in lines),
        {reason: count for reason, count in book.characters().items() if reason != "spoken"},
        embedded=audio_url is None,
    )
    return template_environment().get_template(_TEMPLATE).render(
        page=page,
        wave=(WAVE_WIDTH, WAVE_HEIGHT),
        kbps=BIT_RATE // 1000,
    )  # fmt: skip


def _reader(work: Store, book: BookManifest, audio: ChunkAudioManifest) -> SpeechReader:
    return SpeechReader(work, BookKey(book.partition), audio.sample_rate_hz, str(book.metadata.get("language") or ""))


def _first_lines(lines: Sequence[BookLine], limit_sec: float, sample_rate_hz: int) -> list[BookLine]:
    """The lines of the first chapters, up to the first chunk beyond `limit_sec` of speech."""
    first: list[BookLine] = []
    samples = 0
    for line in lines:
        if not line.row.chapter:
            continue
        if line.speech is not None and line.speech.spoken:
            if samples > limit_sec * sample_rate_hz:
                break
            samples += line.speech.sample_count
        first.append(line)
    return first


def _view(number: int, title: str, level: int, reading: Reading, lines: Sequence[BookLine]) -> ChapterView:
    return ChapterView(number, title, level, reading, sum(line.is_exception for line in lines))


def _timed_chunks(reading: Reading) -> list[str]:
    return [item.line.anchor for block in reading.paragraphs for item in block.passages if item.times]


def _cards(
    reader: SpeechReader, ranked: Sequence[BookLine], playable: frozenset[str], budget_sec: float
) -> list[ExceptionCard]:
    """Every exception; the worst whose sound is not in a chapter have their own."""
    apart = [line for line in ranked if line.status == "failed" and line.anchor not in playable][:_PAGE_EXCEPTIONS]
    cards = {card.line.anchor: card for card in reader.embed_exceptions(apart, budget_sec)}
    return [cards.get(line.anchor) or ExceptionCard(line, reader.show([line])) for line in ranked]
