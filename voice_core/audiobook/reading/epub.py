"""Reads an EPUB, version 2 or 3."""

import dataclasses
from collections.abc import Sequence
from pathlib import PurePosixPath

from voice_core.audiobook.model import Book, BookError
from voice_core.audiobook.reading.bracketed import read_brackets
from voice_core.audiobook.reading.chapters import make_chapters
from voice_core.audiobook.reading.documents import Document, parse_document
from voice_core.audiobook.reading.elements import language_of, local_name
from voice_core.audiobook.reading.epub_archive import EpubArchive, MissingMemberError
from voice_core.audiobook.reading.epub_contents import read_contents, read_landmarks
from voice_core.audiobook.reading.epub_package import Package, read_cover, read_package
from voice_core.audiobook.reading.front_back_matter import is_skipped
from voice_core.audiobook.reading.gutenberg import read_gutenberg
from voice_core.audiobook.reading.note_links import find_notes
from voice_core.audiobook.reading.pieces import Piece, is_arabic
from voice_core.audiobook.reading.xhtml_blocks import read_blocks
from voice_core.language import names_language
from voice_core.settings.audiobook import AudiobookSettings

_NOT_DOCUMENTS = ("image/jpeg", "image/png", "image/gif", "image/webp", "audio/", "video/", "font/")


def read_epub(data: bytes, name: str, settings: AudiobookSettings) -> Book:
    """The book in an EPUB's bytes. Raises `BookError`."""
    archive = EpubArchive(data, name)
    package = read_package(archive)
    warnings = [*archive.warnings, *package.warnings]
    package.warnings = warnings
    documents = _read_documents(archive, package)
    if not documents:
        raise BookError(f"{name}: {package.path}: none of the documents of the spine can be read")
    entries = read_contents(archive, package)
    landmarks = read_landmarks(archive, package)
    language = _language(package.metadata["language"], [document for document, _ in documents])
    # Several entries in one document: it is more than front or back matter.
    listed = [entry.place.partition("#")[0] for entry in entries]
    links = find_notes([document for document, _ in documents], archive.resolve)
    anchors = {entry.place for entry in entries}
    pieces: list[Piece] = []
    aside: list[Piece] = []
    for document, linear in documents:
        matter = landmarks.get(document.name, "") if listed.count(document.name) < 2 else ""
        reason = "" if linear else "not_linear"
        read = read_blocks(document, settings, links, language, anchors, reason)
        if is_skipped(matter, settings):
            for piece in read:
                if not piece.note and not piece.spoken_kind and piece.block.text:
                    piece.skip(matter)
        (pieces if linear else aside).extend(read)
        warnings += [message.removeprefix(f"{name}: ") for message in document.warnings]
    read_gutenberg(pieces, settings)
    read_brackets(pieces, settings)
    title = package.metadata["title"] or PurePosixPath(name).stem
    titles = {document.name: _own_title(document, title) for document, _ in documents}
    chapters, unplaced = make_chapters(pieces, entries, settings, warnings, title, package.authors, titles, aside=aside)
    cover = read_cover(archive, package)
    return Book(
        title=title,
        chapters=chapters,
        source_characters=sum(document.characters for document, _ in documents),
        authors=package.authors,
        language=language,
        identifier=package.metadata["identifier"],
        publisher=package.metadata["publisher"],
        date=package.metadata["date"],
        description=package.metadata["description"],
        cover=cover,
        unplaced=unplaced,
        warnings=tuple(dict.fromkeys(warnings)),
    )


def _read_documents(archive: EpubArchive, package: Package) -> list[tuple[Document, bool]]:
    """The documents of the spine, and whether they are linear; those that are missing are left out with a warning."""
    documents: list[tuple[Document, bool]] = []
    for item, linear in package.spine:
        if item.media_type.startswith(_NOT_DOCUMENTS):
            package.warnings.append(f"{item.path}: the spine names a file of type {item.media_type}, which has no text")
            continue
        try:
            data = archive.read(item.path)
        except MissingMemberError:
            package.warnings.append(f"{item.path}: the document is missing in the archive; the rest is read")
            continue
        document = parse_document(data, f"{archive.name}: {item.path}")
        documents.append((dataclasses.replace(document, name=item.path), linear))
    return documents


def _language(said: str, documents: Sequence[Document]) -> str:
    """The language that the package or else a document says, or that the script shows; "" where none does."""
    for language in (said, *map(_own_language, documents)):
        if names_language(language):
            return language
    return "ar" if is_arabic("".join(text for document in documents for text in document.root.itertext())) else ""


def _own_language(document: Document) -> str:
    body = next((item for item in document.root if local_name(item) == "body"), None)
    return language_of(document.root) or ("" if body is None else language_of(body))


def _own_title(document: Document, book: str) -> str:
    """The title in the head of a document, where it is not just the book's."""
    head = next((item for item in document.root if local_name(item) == "head"), None)
    element = None if head is None else next((item for item in head if local_name(item) == "title"), None)
    text = "" if element is None else " ".join("".join(element.itertext()).split())
    return "" if text == book else text
