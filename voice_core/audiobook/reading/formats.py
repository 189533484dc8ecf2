"""Reads a book of any format."""

import re
from collections.abc import Callable
from pathlib import PurePosixPath

from voice_core.audiobook.model import Block, Book, BookError, Chapter, count_characters
from voice_core.audiobook.reading.bracketed import read_brackets
from voice_core.audiobook.reading.chapters import make_chapters
from voice_core.audiobook.reading.documents import Document, parse_document, parse_text
from voice_core.audiobook.reading.elements import language_of, local_name
from voice_core.audiobook.reading.encoding import decode
from voice_core.audiobook.reading.epub import read_epub
from voice_core.audiobook.reading.gutenberg import read_gutenberg
from voice_core.audiobook.reading.markdown import markdown_to_html
from voice_core.audiobook.reading.markdown_header import read_header
from voice_core.audiobook.reading.note_links import find_notes
from voice_core.audiobook.reading.pieces import is_arabic
from voice_core.audiobook.reading.text_blocks import read_text_blocks
from voice_core.audiobook.reading.xhtml_blocks import read_blocks
from voice_core.settings.audiobook import AudiobookSettings

MAX_BYTES = 64 << 20
"""Of a book that is one document."""
_HTML = re.compile(rb"\s*(?:<\?xml[^>]*>\s*)?(?:<!--(?:(?!-->).)*-->\s*)*<(?:!doctype\s+html|html)\b", re.I | re.S)
_FOREIGN = (
    (b"%PDF", "a PDF"),
    (b"\xd0\xcf\x11\xe0", "a document of Word"),
    (b"{\\rtf", "an RTF document"),
    (b"\x89PNG", "a picture"),
    (b"\xff\xd8\xff", "a picture"),
    (b"RIFF", "a sound file"),
    (b"ID3", "a sound file"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"7z\xbc\xaf", "a 7z archive"),
    (b"Rar!", "a RAR archive"),
)


def read_book(data: bytes, name: str, settings: AudiobookSettings) -> Book:
    """The book in a file's bytes. `name` is its key in the folder of books.

    The format is decided by the content first, then by the suffix. Raises `BookError`, which names the file, the part
    of it, and the reason.
    """
    book = _reader(data, name)(data, name, settings)
    if not any(block.text for block in book.blocks()):
        raise BookError(f"{name}: the book has no text")
    return book


def _reader(data: bytes, name: str) -> Callable[[bytes, str, AudiobookSettings], Book]:
    suffix = PurePosixPath(name).suffix.lower()
    if not data.strip():
        raise BookError(f"{name}: the file is empty")
    for magic, kind in _FOREIGN:
        if data.startswith(magic):
            raise BookError(f"{name}: the file is {kind}; convert it to EPUB, text, Markdown or HTML")
    if data[60:68] in (b"BOOKMOBI", b"TEXtREAd"):
        raise BookError(f"{name}: the file is a book of the Kindle; convert it to EPUB without DRM")
    if data.startswith((b"PK\x03\x04", b"PK\x05\x06")) or suffix == ".epub":
        return read_epub
    if len(data) > MAX_BYTES:
        raise BookError(f"{name}: the file has {len(data) >> 20} MiB, the limit is {MAX_BYTES >> 20} MiB")
    if _HTML.match(data.removeprefix(b"\xef\xbb\xbf")):
        return _read_html
    return _BY_SUFFIX.get(suffix, _read_plain_text)


def _read_html(data: bytes, name: str, settings: AudiobookSettings) -> Book:
    return _from_document(parse_document(data, name), name, settings)


def _read_markdown(data: bytes, name: str, settings: AudiobookSettings) -> Book:
    text, warnings = decode(data, name)
    text = re.sub(r"\r\n?", "\n", text)
    header, metadata = read_header(text, name, warnings)
    html = markdown_to_html(text[len(header) :], header.count("\n") + 1)
    document = parse_text(f"<html><body>{html}</body></html>", name, warnings, markup="html")
    return _from_document(document, name, settings, metadata, header)


def _from_document(
    document: Document,
    name: str,
    settings: AudiobookSettings,
    metadata: dict[str, object] | None = None,
    header: str = "",
) -> Book:
    """The book of one document. `header` is text of the file before it, which is not spoken."""
    metadata = metadata or {}
    head = {} if metadata else _head(document)
    given = metadata.get("title") or head.get("title") or ""
    own_title = " ".join(map(str, given)) if isinstance(given, list) else str(given)
    title = own_title or _stem(name)
    author = metadata.get("author") or metadata.get("authors") or head.get("author") or ()
    authors = tuple(str(item) for item in author) if isinstance(author, (list, tuple)) else (str(author),)
    language = str(metadata.get("language") or metadata.get("lang") or language_of(document.root) or "")
    warnings = list(document.warnings)

    def resolve(base: str, href: str) -> tuple[str, str] | None:
        return (base, href[1:]) if href.startswith("#") else None

    language = language or _language_by_script(document, settings, warnings)
    pieces = read_blocks(document, settings, find_notes([document], resolve), language)
    read_gutenberg(pieces, settings)
    read_brackets(pieces, settings)
    chapters, unplaced = make_chapters(pieces, [], settings, warnings, title, authors)
    if not own_title and _is_title_page(chapters):
        title = chapters[0].title
    if header.strip():
        unplaced = (Block(" ".join(header.split()), "other", "line 1", skipped="metadata"), *unplaced)
    return Book(
        title=title,
        chapters=chapters,
        source_characters=document.characters + count_characters(header),
        authors=authors,
        language=language,
        date=str(metadata.get("date") or ""),
        description=str(metadata.get("description") or ""),
        unplaced=unplaced,
        warnings=tuple(dict.fromkeys(warnings)),
    )


def _read_plain_text(data: bytes, name: str, settings: AudiobookSettings) -> Book:
    text, warnings = decode(data, name)
    nul = text.count("\0")
    if nul > len(text) // 100:
        raise BookError(f"{name}: the file is neither text nor a known format of books")
    language = "ar" if is_arabic(text) else ""
    pieces = read_text_blocks(text, settings.language or language)
    about = read_gutenberg(pieces, settings)
    read_brackets(pieces, settings)
    title = about.get("title") or _stem(name)
    authors = (about["author"],) if "author" in about else ()
    chapters, unplaced = make_chapters(pieces, [], settings, warnings, title, authors)
    return Book(
        title=title,
        chapters=chapters,
        source_characters=count_characters(text),
        authors=authors,
        language=language,
        unplaced=unplaced,
        warnings=tuple(dict.fromkeys(warnings)),
    )


def _is_title_page(chapters: tuple[Chapter, ...]) -> bool:
    """Whether the first chapter is a heading alone, and all others are below it: the book's title."""
    first, *others = chapters or (Chapter(""),)
    only_heading = [block.kind for block in first.blocks if block.is_spoken] == ["heading"]
    return only_heading and bool(others) and all(item.level > first.level for item in others)


def _language_by_script(document: Document, settings: AudiobookSettings, warnings: list[str]) -> str:
    return "ar" if not settings.language and is_arabic("".join(document.root.itertext())) else ""


def _head(document: Document) -> dict[str, str]:
    found: dict[str, str] = {}
    head = next((item for item in document.root if local_name(item) == "head"), None)
    for element in () if head is None else head:
        if local_name(element) == "title":
            found.setdefault("title", " ".join("".join(element.itertext()).split()))
        elif local_name(element) == "meta" and (element.get("name") or "").lower() in ("author", "dc.creator"):
            found.setdefault("author", element.get("content") or "")
    return {key: value for key, value in found.items() if value}


def _stem(name: str) -> str:
    return PurePosixPath(name).stem.replace("_", " ").strip() or name


_BY_SUFFIX: dict[str, Callable[[bytes, str, AudiobookSettings], Book]] = {
    ".epub": read_epub,
    ".txt": _read_plain_text,
    ".text": _read_plain_text,
    ".md": _read_markdown,
    ".markdown": _read_markdown,
    ".html": _read_html,
    ".htm": _read_html,
    ".xhtml": _read_html,
}
BOOK_SUFFIXES = tuple(_BY_SUFFIX)
"""Of the files in the folder of books that are books, in lower case."""
