"""Builds EPUBs in memory: valid by default, and broken in whatever way a test asks for."""

import io
import re
import zipfile
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from xml.sax.saxutils import escape, quoteattr

Contents = Sequence[tuple[str, str] | tuple[str, str, int]]
"""Entries of a table of contents: title, href (relative to the documents), and level (1 if left out)."""

FOLDER = "OEBPS/"
NAV, NCX = "nav.xhtml", "toc.ncx"
TWO_CHAPTERS = {
    "ch1.xhtml": "<h1>One</h1><p>It was a bright day. The clocks were right.</p>",
    "ch2.xhtml": "<h1>Two</h1><p>It rained.</p><p>Nobody minded.</p>",
}
_CONTAINER = """<?xml version="1.0" encoding="UTF-8"?>
<container version="1.0" xmlns="urn:oasis:names:tc:opendocument:xmlns:container"><rootfiles>
<rootfile full-path="OEBPS/content.opf" media-type="application/oebps-package+xml"/></rootfiles></container>"""
_MEDIA_TYPES = {
    "xhtml": "application/xhtml+xml",
    "html": "application/xhtml+xml",
    "htm": "application/xhtml+xml",
    "ncx": "application/x-dtbncx+xml",
    "css": "text/css",
    "jpg": "image/jpeg",
    "png": "image/png",
    "svg": "image/svg+xml",
}


def build_epub(
    path: Path | None = None,
    *,
    title: str = "A Book",
    authors: Sequence[str] = ("An Author",),
    language: str = "en",
    identifier: str = "urn:uuid:00000000-0000-4000-8000-000000000001",
    documents: Mapping[str, str | bytes] = TWO_CHAPTERS,
    spine: Sequence[str] | None = None,
    nonlinear: Collection[str] = (),
    nav: Contents | str | None = "headings",
    ncx: Contents | str | None = None,
    cover: bytes | None = None,
    version: str = "3.0",
    right_to_left: bool = False,
    metadata: str = "",
    manifest: str = "",
    guide: str = "",
    members: Mapping[str, str | bytes] | None = None,
    leave_out: Collection[str] = (),
    mimetype: str = "application/epub+zip",
) -> bytes:
    """The bytes of an EPUB, also written to `path` where that is not None. Equal arguments give equal bytes.

    `documents` are bodies by file name, in the order of the spine; a whole document (bytes, or text that begins with
    "<?xml", "<!DOCTYPE" or "<html") is taken as it is. `spine` has the names where it differs, `nonlinear` those with
    linear="no". `nav` and `ncx` are the tables of contents of EPUB 3 and 2: entries, the whole document as text, None
    for none, or "headings" for an entry for each document that begins with <h1> or <h2>. `metadata`, `manifest` and
    `guide` are further XML of the package, `members` further members of the zip by full name (they replace those of
    the same name), and `leave_out` has full names of members that are in the manifest but not in the zip.
    """
    files: dict[str, str | bytes] = {"META-INF/container.xml": _CONTAINER}
    items = [_item(name, f"d{number}") for number, name in enumerate(documents)]
    ids = {name: f"d{number}" for number, name in enumerate(documents)}
    for name, body in documents.items():
        files[FOLDER + name] = body if _is_whole(body) else xhtml(str(body), title, language, right_to_left)
    if nav is not None:
        entries = _headings(documents) if nav == "headings" else nav
        whole = entries if isinstance(entries, str) else nav_document(entries, language)
        files[FOLDER + NAV] = whole
        items.append(_item(NAV, "nav", "nav"))
    if ncx is not None:
        entries = _headings(documents) if ncx == "headings" else ncx
        files[FOLDER + NCX] = entries if isinstance(entries, str) else ncx_document(entries, identifier)
        items.append(_item(NCX, "ncx"))
    if cover is not None:
        name = "cover.png" if cover.startswith(b"\x89PNG") else "cover.jpg"
        files[FOLDER + name] = cover
        items.append(_item(name, "cover-image", "cover-image" if version >= "3" else ""))
        metadata += '<meta name="cover" content="cover-image"/>' if version < "3" else ""
    creators = "".join(f"<dc:creator>{escape(author)}</dc:creator>" for author in authors)
    modified = '<meta property="dcterms:modified">2026-01-01T00:00:00Z</meta>' if version >= "3" else ""
    references = "".join(
        f'<itemref idref="{ids.get(name, name)}"{" linear=" + quoteattr("no") if name in nonlinear else ""}/>'
        for name in (documents if spine is None else spine)
    )
    files[f"{FOLDER}content.opf"] = f"""<?xml version="1.0" encoding="UTF-8"?>
<package xmlns="http://www.idpf.org/2007/opf" xmlns:opf="http://www.idpf.org/2007/opf"
 xmlns:dc="http://purl.org/dc/elements/1.1/" version="{version}" unique-identifier="id" xml:lang="{language or "en"}">
<metadata><dc:identifier id="id">{escape(identifier)}</dc:identifier><dc:title>{escape(title)}</dc:title>{creators}
{f"<dc:language>{language}</dc:language>" if language else ""}{modified}{metadata}</metadata>
<manifest>{"".join(items)}{manifest}</manifest>
<spine{' toc="ncx"' if ncx is not None else ""}{' page-progression-direction="rtl"' if right_to_left else ""}>
{references}
</spine>{guide}</package>"""
    files |= members or {}
    data = zip_members({"mimetype": mimetype} | files, leave_out)
    if path is not None:
        path.write_bytes(data)
    return data


def zip_members(files: Mapping[str, str | bytes], leave_out: Collection[str] = ()) -> bytes:
    """A zip of these members, "mimetype" stored and the rest deflated, with fixed times."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in files.items():
            if name in leave_out:
                continue
            info = zipfile.ZipInfo(name, (2026, 1, 1, 0, 0, 0))
            info.compress_type = zipfile.ZIP_STORED if name == "mimetype" else zipfile.ZIP_DEFLATED
            archive.writestr(info, content)
    return buffer.getvalue()


def xhtml(body: str, title: str = "A Book", language: str = "en", right_to_left: bool = False) -> str:
    """An XHTML document with this body."""
    lang = f' lang="{language}" xml:lang="{language}"' if language else ""
    return f"""<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE html>
<html xmlns="http://www.w3.org/1999/xhtml" xmlns:epub="http://www.idpf.org/2007/ops"{lang}{
        ' dir="rtl"' if right_to_left else ""
    }>
<head><title>{escape(title)}</title></head>
<body>{body}</body></html>"""


def nav_document(entries: Contents, language: str = "en") -> str:
    """The navigation document of EPUB 3; levels become nested lists."""
    items = _nested(entries, _nav_entry, "<ol>", "</ol>", "</li>")
    return xhtml(f'<nav epub:type="toc" id="toc"><h2>Contents</h2>{items}</nav>', "Contents", language)


def ncx_document(entries: Contents, identifier: str = "") -> str:
    """The table of contents of EPUB 2."""
    points = _nested(entries, _ncx_entry, "", "", "</navPoint>")
    return f"""<?xml version="1.0" encoding="UTF-8"?>
<ncx xmlns="http://www.daisy.org/z3986/2005/ncx/" version="2005-1"><head><meta name="dtb:uid" content={
        quoteattr(identifier)
    }/></head>
<docTitle><text>Contents</text></docTitle><navMap>{points}</navMap></ncx>"""


def _nav_entry(title: str, href: str, number: int) -> str:
    return f"<li><a href={quoteattr(href)}>{escape(title)}</a>"


def _ncx_entry(title: str, href: str, number: int) -> str:
    return (
        f'<navPoint id="n{number}" playOrder="{number}"><navLabel><text>{escape(title)}</text></navLabel>'
        f"<content src={quoteattr(href)}/>"
    )


def _nested(entries: Contents, entry, before: str, after: str, close: str) -> str:  # type: ignore[no-untyped-def]
    """Entries with levels as nested elements."""
    out, depth = [], 0
    for number, (title, href, *rest) in enumerate(entries, 1):
        level = rest[0] if rest else 1
        if level > depth:
            out.append(before * (level - depth))
        else:
            out.append(close + (after + close) * (depth - level))
        out.append(entry(title, href, number))
        depth = level
    return "".join(out) + (close + after) * depth


def _item(name: str, item_id: str, properties: str = "") -> str:
    media_type = _MEDIA_TYPES.get(name.rpartition(".")[2].lower(), "application/octet-stream")
    extra = f' properties="{properties}"' if properties else ""
    return f'<item id="{item_id}" href={quoteattr(name)} media-type="{media_type}"{extra}/>'


def _is_whole(body: str | bytes) -> bool:
    return isinstance(body, bytes) or body.lstrip().lower().startswith(("<?xml", "<!doctype", "<html"))


def _headings(documents: Mapping[str, str | bytes]) -> list[tuple[str, str]]:
    found = []
    for name, body in documents.items():
        text = body if isinstance(body, str) else body.decode("utf-8", "replace")
        if match := re.search(r"<h[12][^>]*>(.*?)</h[12]>", text, re.S):
            found.append((re.sub(r"<[^>]*>", "", match[1]), name))
    return found
