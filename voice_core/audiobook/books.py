"""The books in a folder, by key."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from voice_core.audiobook.reading import BOOK_SUFFIXES
from voice_core.fingerprint import fingerprint
from voice_core.layout import BookKey
from voice_core.storage.store import Store

_PREFERRED = {suffix: number for number, suffix in enumerate(BOOK_SUFFIXES)}


@dataclass(frozen=True, slots=True)
class BookFile:
    """A book's file: the key of the book, its place in a folder, and what changes whenever the file does."""

    key: BookKey
    name: str
    version: str
    folder: Store = field(compare=False, repr=False)

    def read(self) -> bytes:
        return self.folder.get(self.name)


@dataclass(frozen=True, slots=True)
class BookListing:
    """The books of a folder, and the files that are left out, each with the reason."""

    files: Mapping[BookKey, BookFile]
    problems: tuple[str, ...] = ()

    def find(self, book: str) -> BookFile:
        """The book with this key or file name. Raises LookupError."""
        for key, item in self.files.items():
            if book in (str(key), item.name):
                return item
        listed = ", ".join(sorted(map(str, self.files))) or "none"
        raise LookupError(f"there is no book {book!r}; the folder of books has {listed}")


def find_book_file(folder: Store, name: str) -> BookFile:
    """The book in one file of a folder, with nothing else listed. Raises LookupError."""
    info = folder.head(name)
    if info is None:
        raise LookupError(f"{folder.url}/{name} does not exist")
    return BookFile(BookKey.of(name), name, fingerprint(name, info.identity), folder)


def list_books(books: Store) -> BookListing:
    """The books below a folder. Of files that differ in the extension only, the first in the order of `BOOK_SUFFIXES`
    is taken, and the others are problems."""
    found: dict[BookKey, BookFile] = {}
    problems: list[str] = []
    items = [item for item in books.listing() if item.key.lower().endswith(BOOK_SUFFIXES)]
    for item in sorted(items, key=lambda item: (_rank(item.key), item.key)):
        key = BookKey.of(item.key)
        if item.unusable:
            problems.append(f"{item.key} is left out: {item.unusable}")
            continue
        if key in found:
            problems.append(f"{item.key} is left out: {found[key].name} has the same name")
            continue
        found[key] = BookFile(key, item.key, fingerprint(item.key, item.identity), books)
    return BookListing(dict(sorted(found.items())), tuple(problems))


def _rank(name: str) -> int:
    return next(number for suffix, number in _PREFERRED.items() if name.lower().endswith(suffix))
