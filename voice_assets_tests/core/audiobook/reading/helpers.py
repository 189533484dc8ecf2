"""Short ways to read a book that a test makes, and to look at it."""

from typing import Any

from voice_assets_tests.core.audiobook.epub_builder import build_epub
from voice_core.audiobook.model import Block, Book
from voice_core.audiobook.reading import read_book
from voice_core.settings.audiobook import AudiobookSettings


def read_epub(settings: AudiobookSettings | None = None, **arguments: Any) -> Book:
    """The book of `build_epub` with these arguments; it adds up."""
    book = read_book(build_epub(**arguments), "shelf/a.epub", settings or AudiobookSettings())
    assert book.adds_up
    return book


def read_body(body: str, **settings: Any) -> Book:
    """An EPUB with one document."""
    return read_epub(AudiobookSettings(**settings), documents={"a.xhtml": body}, nav=None)


def read_text(text: str, **settings: Any) -> Book:
    book = read_book(text.encode(), "a.txt", AudiobookSettings(**settings))
    assert book.adds_up
    return book


def read_markdown(text: str, **settings: Any) -> Book:
    book = read_book(text.encode(), "a.md", AudiobookSettings(**settings))
    assert book.adds_up
    return book


def all_blocks(book: Book) -> list[Block]:
    return list(book.blocks())


def spoken(book: Book) -> list[str]:
    """The texts that are spoken, in order."""
    return [block.text for block in book.blocks() if block.is_spoken]


def skipped(book: Book) -> dict[str, list[str]]:
    """What is not spoken, by reason."""
    out: dict[str, list[str]] = {}
    for block in book.blocks():
        if block.skipped:
            out.setdefault(block.skipped, []).append(block.text)
        for item in block.inline:
            out.setdefault(item.reason, []).append(item.text)
    return out


def chapters(book: Book) -> dict[str, list[str]]:
    """The spoken texts of each chapter by title."""
    return {chapter.title: [block.text for block in chapter.blocks if block.is_spoken] for chapter in book.chapters}
