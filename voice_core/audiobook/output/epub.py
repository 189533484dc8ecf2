"""EPUB 3 with media overlays: the book's text, each spoken sentence of which is lit while it is heard.

https://www.w3.org/TR/epub-33/#sec-media-overlays. All of the book's text is in it; what is not spoken has no audio.
"""

import re
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from voice_core.audiobook.output.cover import CoverImage
from voice_core.audiobook.output.epub_text import (
    ACTIVE_CLASS,
    CSS,
    PLAYING_CLASS,
    ChapterPage,
    clock,
    language_tag,
    smil_page,
    xhtml_page,
    xml_text,
)
from voice_core.audiobook.output.m4b import BookTags
from voice_core.language import text_direction

_MODIFIED = "2000-01-01T00:00:00Z"
"""EPUB asks for a time of the last change. A constant one keeps equal input at equal bytes."""
_ZIP_TIME = (1980, 1, 1, 0, 0, 0)
_DATE = re.compile(r"\d{4}(-(0[1-9]|1[0-2])(-(0[1-9]|[12]\d|3[01]))?)?")
_CONTAINER = """<?xml version="1.0" encoding="utf-8"?>
<container version="1.0" xmlns="urn:oasis:names:tc:opendocument:xmlns:container">
<rootfiles><rootfile full-path="EPUB/package.opf" media-type="application/oebps-package+xml"/></rootfiles>
</container>
"""


@dataclass(frozen=True, slots=True)
class EpubBook:
    """What an EPUB is made of. `open_audio` opens the AAC in MP4 of a chapter by its number."""

    tags: BookTags
    identifier: str
    pages: Sequence[ChapterPage]
    rate_hz: int
    open_audio: Callable[[int], AbstractContextManager[IO[bytes]]]
    cover: CoverImage | None = None


@dataclass(frozen=True, slots=True)
class _Item:
    """An entry of the package's manifest."""

    id: str
    path: str
    media_type: str
    more: dict[str, str] = field(default_factory=dict)

    def to_xml(self) -> str:
        more = "".join(f' {name}="{value}"' for name, value in self.more.items())
        return f'<item id="{self.id}" href="{self.path}" media-type="{self.media_type}"{more}/>'


def write_epub(path: Path, book: EpubBook) -> None:
    """Write the EPUB to `path`. Audio is copied in constant memory."""
    language = book.tags.language
    with zipfile.ZipFile(path, "w") as archive:
        _put(archive, "mimetype", "application/epub+zip", compress=False)
        _put(archive, "META-INF/container.xml", _CONTAINER)
        _put(archive, "EPUB/package.opf", _package(book))
        _put(archive, "EPUB/nav.xhtml", _nav(book))
        _put(archive, "EPUB/style.css", CSS)
        for page in book.pages:
            _put(archive, f"EPUB/{page.name}.xhtml", xhtml_page(page, language))
            if page.marks:
                _put(archive, f"EPUB/{page.name}.smil", smil_page(page, f"{page.name}.m4a", book.rate_hz))
        if book.cover:
            info = _zip_info(f"EPUB/cover.{book.cover.extension}")
            archive.writestr(info, book.cover.data)
        for page in book.pages:
            if page.marks:
                with (
                    book.open_audio(page.chapter.number) as source,
                    archive.open(_zip_info(f"EPUB/{page.name}.m4a"), "w", force_zip64=True) as target,
                ):
                    while block := source.read(1 << 20):
                        target.write(block)


def _zip_info(name: str) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name, _ZIP_TIME)
    info.external_attr = 0o644 << 16
    info.create_system = 3
    return info


def _put(archive: zipfile.ZipFile, name: str, text: str, *, compress: bool = True) -> None:
    info = _zip_info(name)
    archive.writestr(info, text.encode(), zipfile.ZIP_DEFLATED if compress else zipfile.ZIP_STORED)


def _items(book: EpubBook) -> Iterator[_Item]:
    yield _Item("nav", "nav.xhtml", "application/xhtml+xml", {"properties": "nav"})
    yield _Item("css", "style.css", "text/css")
    if book.cover:
        name = f"cover.{book.cover.extension}"
        yield _Item("cover", name, book.cover.media_type, {"properties": "cover-image"})
    for page in book.pages:
        overlay = {"media-overlay": f"{page.name}-overlay"} if page.marks else {}
        yield _Item(page.name, f"{page.name}.xhtml", "application/xhtml+xml", overlay)
        if page.marks:
            yield _Item(f"{page.name}-overlay", f"{page.name}.smil", "application/smil+xml")
            yield _Item(f"{page.name}-audio", f"{page.name}.m4a", "audio/mp4")


def _package(book: EpubBook) -> str:
    tags = book.tags
    spoken = [page for page in book.pages if page.marks]
    total = sum(page.sample_count for page in spoken)
    metadata = [
        f'<dc:identifier id="id">{xml_text(book.identifier)}</dc:identifier>',
        f"<dc:title>{xml_text(tags.title)}</dc:title>",
        f"<dc:language>{language_tag(tags.language)}</dc:language>",
        *(f"<dc:creator>{xml_text(author)}</dc:creator>" for author in tags.authors if author.strip()),
        *([f"<dc:publisher>{xml_text(tags.publisher)}</dc:publisher>"] if tags.publisher.strip() else []),
        *([f"<dc:description>{xml_text(tags.description)}</dc:description>"] if tags.description.strip() else []),
        *([f"<dc:date>{tags.date}</dc:date>"] if _DATE.fullmatch(tags.date) else []),
        f'<meta property="dcterms:modified">{_MODIFIED}</meta>',
        f'<meta property="media:duration">{clock(total, book.rate_hz)}</meta>',
        *([f'<meta property="media:narrator">{xml_text(tags.narrator)}</meta>'] if tags.narrator.strip() else []),
        f'<meta property="media:active-class">{ACTIVE_CLASS}</meta>',
        f'<meta property="media:playback-active-class">{PLAYING_CLASS}</meta>',
        *(
            f'<meta property="media:duration" refines="#{page.name}-overlay">{clock(page.sample_count, book.rate_hz)}'
            "</meta>"
            for page in spoken
        ),
    ]
    items = "\n".join(item.to_xml() for item in _items(book))
    spine = "\n".join(f'<itemref idref="{page.name}"/>' for page in book.pages)
    newline = "\n"
    return f"""<?xml version="1.0" encoding="utf-8"?>
<package xmlns="http://www.idpf.org/2007/opf" version="3.0" unique-identifier="id" \
xml:lang="{language_tag(tags.language)}">
<metadata xmlns:dc="http://purl.org/dc/elements/1.1/">
{newline.join(metadata)}
</metadata>
<manifest>
{items}
</manifest>
<spine page-progression-direction="{text_direction(tags.language)}">
{spine}
</spine>
</package>
"""


def _nav(book: EpubBook) -> str:
    code = language_tag(book.tags.language)
    title = xml_text(book.tags.title)
    entries = "\n".join(f'<li><a href="{page.name}.xhtml">{xml_text(page.title)}</a></li>' for page in book.pages)
    return f"""<?xml version="1.0" encoding="utf-8"?>
<!DOCTYPE html>
<html xmlns="http://www.w3.org/1999/xhtml" xmlns:epub="http://www.idpf.org/2007/ops" xml:lang="{code}" lang="{code}" \
dir="{text_direction(book.tags.language)}">
<head><title>{title}</title></head>
<body>
<nav epub:type="toc"><h1>{title}</h1>
<ol>
{entries}
</ol>
</nav>
</body>
</html>
"""
