"""From a book's file to the audiobook: what the assets and `voice audiobook build` both run."""

import contextlib
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from av import FFmpegError

from voice_core.audiobook.audiobook_stage import AudiobookReport, FreedSpeechError, build_audiobook
from voice_core.audiobook.books import BookFile
from voice_core.audiobook.chunk_manifest import BookManifest, ChunkRow
from voice_core.audiobook.chunks_stage import build_book_chunks, has_cover
from voice_core.audiobook.manifests import require_text
from voice_core.audiobook.model import Book, BookError
from voice_core.audiobook.pipeline_file import find_pipeline
from voice_core.audiobook.reading import read_book
from voice_core.audiobook.speech import (
    ChunkAudioReport,
    build_chunk_audio,
    choose_book_workers,
    open_book_pool,
)
from voice_core.audiobook.text.lexicon import load_lexicon
from voice_core.audiobook.text.rows import make_rows
from voice_core.compute.workers import WorkerKilledError, map_unordered
from voice_core.error_text import describe_exception
from voice_core.layout import BookKey
from voice_core.settings import Settings
from voice_core.storage.distributed_lock import LockLostError, LockTimeoutError
from voice_core.storage.store import Store
from voice_core.synthesis import EnginePool, SynthesisOptions
from voice_core.synthesis.configured import engine_spec

EXPECTED_ERRORS = (
    *(BookError, LookupError, ValueError, OSError, MemoryError, FFmpegError),
    *(WorkerKilledError, LockLostError, LockTimeoutError),
)
"""The errors that end one book and no other."""


@dataclass(slots=True)
class BookReport:
    """What a build of one book did. A book of a pipeline.json has no audiobook."""

    text: BookManifest
    audio: ChunkAudioReport
    audiobook: AudiobookReport | None
    wall_sec: float


@dataclass(slots=True)
class LibraryReport:
    """What a build over several books did: reports, and errors, by book."""

    books: dict[str, BookReport] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)


def read_rows(data: bytes, name: str, settings: Settings) -> tuple[Book, Sequence[ChunkRow]]:
    """A book and its chunks, with nothing written. Raises `BookError`."""
    given = settings.audiobook
    book = read_book(data, name, given)
    engine = engine_spec(settings).load()
    return book, make_rows(book, given, engine, load_lexicon(given.lexicon), name=str(BookKey.of(name)))


def build_text(work: Store, file: BookFile, settings: Settings) -> BookManifest:
    """Read a book and commit its chunks. Raises `BookError`."""
    data = file.read()
    book = read_book(data, file.name, settings.audiobook)
    engine = engine_spec(settings).load()
    return build_book_chunks(work, file.key, file.name, data, book, settings.audiobook, engine)


def build_book(
    work: Store,
    book: BookFile | BookKey,
    settings: Settings,
    options: SynthesisOptions | None = None,
    *,
    engine_pool: EnginePool | None = None,
    redo: Collection[str] = (),
    verify: bool = False,
    mastering_workers: int = 0,
) -> BookReport:
    """Bring a book up to date: its text, its speech, the audiobook.

    By its key, a book is built from the text that is in the work root, and its file is not needed. Of a book of a
    pipeline.json, the speech alone is brought up to date. `mastering_workers` is the number of processes that master
    chapters; 0 as in `build_audiobook`.

    Raises LookupError where there is no finished text or its cover is damaged, and as the three stages.
    """
    began = time.monotonic()
    text = build_text(work, book, settings) if isinstance(book, BookFile) else _require_built_text(work, book)
    key = book.key if isinstance(book, BookFile) else book
    audio = build_chunk_audio(work, key, settings, options, engine_pool=engine_pool, redo=redo, verify=verify)
    if find_pipeline(text) is not None:
        return BookReport(text, audio, None, time.monotonic() - began)
    try:
        mastered = build_audiobook(work, key, settings, workers=mastering_workers, verify=verify)
    except FreedSpeechError as error:
        audio = build_chunk_audio(
            work, key, settings, options, engine_pool=engine_pool, restore=error.chapters, first=audio
        )
        mastered = build_audiobook(work, key, settings, workers=mastering_workers, verify=verify)
    return BookReport(text, audio, mastered, time.monotonic() - began)


def _require_built_text(work: Store, book: BookKey) -> BookManifest:
    text = require_text(work, book)
    if not has_cover(work, text):
        raise LookupError(
            f"the cover of {book} is missing or is not what was committed: run `voice audiobook build` with the path "
            f"of the book's file, {text.source}"
        )
    return text


def build_books(
    work: Store,
    books: Sequence[BookFile | BookKey],
    settings: Settings,
    options: SynthesisOptions | None = None,
    *,
    verify: bool = False,
) -> LibraryReport:
    """Build books one after another, as `build_book` does. A book that fails stops no other.

    An engine on a GPU, whose weights take long to load, is kept for all books. Engines on the CPU end before a book is
    mastered, which needs their memory.
    """
    report = LibraryReport()
    engine = engine_spec(settings)
    with contextlib.ExitStack() as stack:
        kept = engine.device != "cpu"
        engines = stack.enter_context(open_book_pool(settings, options, engine)) if kept else None
        for book in books:
            name = str(book.key if isinstance(book, BookFile) else book)
            try:
                report.books[name] = build_book(work, book, settings, options, engine_pool=engines, verify=verify)
            except EXPECTED_ERRORS as error:
                report.failures[name] = describe_exception(error)
    return report


def build_books_in_parallel(
    work: Store,
    files: Sequence[BookFile],
    settings: Settings,
    max_workers: int = 0,
    *,
    verify: bool = False,
) -> LibraryReport:
    """Build several books at a time, each in a process with one engine.

    `max_workers` is the number of books at a time; 0: as many as engines would speak one book.
    """
    report = LibraryReport()
    count = max_workers or choose_book_workers(_with_batch_mode(settings, on=False))
    left = [*files]
    while left:
        tasks = [(work, file, settings, verify) for file in left]
        try:
            for task, result in map_unordered(_build_alone, tasks, count, name=lambda task: str(task[1].key)):
                if isinstance(result, BookReport):
                    report.books[str(task[1].key)] = result
                else:
                    report.failures[str(task[1].key)] = result
        except WorkerKilledError as error:
            report.failures[error.item] = describe_exception(error)
        left = [file for file in left if str(file.key) not in report.books.keys() | report.failures.keys()]
    return report


def _with_batch_mode(settings: Settings, *, on: bool) -> Settings:
    return settings.model_copy(update={"audiobook": settings.audiobook.model_copy(update={"batch_mode": on})})


def _build_alone(task: tuple[Store, BookFile, Settings, bool]) -> BookReport | str:
    """The report of a book that is built in this process, or the error."""
    work, file, settings, verify = task
    settings = _with_batch_mode(settings, on=True)
    serial = SynthesisOptions(backend="serial", workers=1)
    try:
        return build_book(work, file, settings, serial, verify=verify, mastering_workers=1)
    except EXPECTED_ERRORS as error:
        return describe_exception(error)


_SECONDS_PER_CHARACTER: Mapping[str, float] = {"en": 0.0665, "ar": 0.085}
"""Speech a character that is not white space, of ordinary prose: 0.34 s a word in English."""


def estimate_speech_sec(characters: int, language: str) -> float:
    """An estimate of the speech's length before anything is spoken."""
    return characters * _SECONDS_PER_CHARACTER.get(language[:2].lower(), 0.07)
