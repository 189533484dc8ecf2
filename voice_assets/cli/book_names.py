"""The books that the arguments of `voice audiobook` name: by a file, or by a key."""

from pathlib import Path
from typing import TYPE_CHECKING

from voice_assets.cli.output import print_error_line
from voice_core.settings import ConfigurationError, Settings

if TYPE_CHECKING:
    from voice_core.audiobook.books import BookFile
    from voice_core.layout import BookKey


def find_book(settings: Settings, book: str) -> "BookFile":
    """The file of a book. Raises LookupError."""
    from resources.stores import open_store
    from voice_core.audiobook.books import find_book_file, list_books
    from voice_core.audiobook.reading import BOOK_SUFFIXES
    from voice_core.storage.store import Store

    path = Path(book).expanduser()
    if path.is_file():
        if not path.name.lower().endswith(BOOK_SUFFIXES):
            raise ConfigurationError(f"{book} is not a book: its name must end in {', '.join(BOOK_SUFFIXES)}")
        folder = Store(path.resolve().parent.as_uri())
        return find_book_file(folder, path.name)
    if not settings.audiobook.books_url:
        raise LookupError(
            f"{book}: there is no such file, and VOICE_AUDIOBOOK__BOOKS_URL, the folder of books, is not set"
        )
    folder = open_store(settings.audiobook.books_url, settings, untrusted=True)
    return list_books(folder).find(book)


def find_source(settings: Settings, book: str) -> "BookFile | BookKey":
    """The file of a book; the key of one that is built and whose file is not found, so that commands in
    messages work wherever the file is. Raises LookupError."""
    from resources.corpus import open_work_read_only
    from voice_core.audiobook.chunk_manifest import read_book_manifest
    from voice_core.audiobook.pipeline_file import find_pipeline
    from voice_core.layout import BookKey

    try:
        return find_book(settings, book)
    except LookupError:
        work = open_work_read_only(settings)
        text = read_book_manifest(work, BookKey(book)) if "/" not in book else None
        if text is None or not text.complete:
            raise
    if find_pipeline(text) is None:
        print_error_line(
            f"{book}: the file {text.source} is not found; the text of the last build is used. To read the book again, "
            "name its path",
            "warning:",
            "yellow",
        )
    return BookKey(book)


def all_books(settings: Settings) -> "list[BookFile]":
    from resources.stores import open_store
    from voice_core.audiobook.books import list_books

    if not settings.audiobook.books_url:
        raise ConfigurationError("no book: name a file, or a folder of books in VOICE_AUDIOBOOK__BOOKS_URL")
    folder = open_store(settings.audiobook.books_url, settings, untrusted=True)
    listing = list_books(folder)
    for problem in listing.problems:
        print_error_line(problem, "warning:", "yellow")
    if not listing.files:
        raise LookupError(f"there are no books in {settings.audiobook.books_url} (VOICE_AUDIOBOOK__BOOKS_URL)")
    return [*listing.files.values()]


def book_key(book: str) -> str:
    """The key of a book that is named by its file or by its key."""
    from voice_core.audiobook.reading import BOOK_SUFFIXES
    from voice_core.layout import BookKey

    return str(BookKey.of(Path(book).name)) if book.lower().endswith(BOOK_SUFFIXES) else book
