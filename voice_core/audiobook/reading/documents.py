"""A document of XHTML or HTML as a tree, and the number of its characters."""

import re
from dataclasses import dataclass
from html import escape
from html.entities import html5

from lxml import etree

from voice_core.audiobook.model import BookError, count_characters
from voice_core.audiobook.reading.drawn_text import insert_drawn_text
from voice_core.audiobook.reading.elements import DROPPED, Element, local_name
from voice_core.audiobook.reading.encoding import decode
from voice_core.audiobook.reading.prolog import without_prolog

_REFERENCE = re.compile(r"&(?:#(\d{1,8})|#[xX]([0-9a-fA-F]{1,7})|([^\s&;<>\"'#]+));")
_CDATA = re.compile(r"<!\[CDATA\[(.*?)(?:\]\]>|\Z)", re.S)
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
_XML_NAMES = frozenset({"amp", "lt", "gt", "quot", "apos"})


@dataclass(slots=True)
class Document:
    """`root` is the element below which everything but its `head` is text of the book. `characters` counts that."""

    name: str
    root: Element
    characters: int
    warnings: list[str]


def parse_document(data: bytes, name: str) -> Document:
    """The tree of a document: as XML where it is well-formed, else as HTML, with a warning. Raises `BookError`."""
    text, warnings = decode(data, name)
    return parse_text(text, name, warnings)


def parse_text(text: str, name: str, warnings: list[str] | None = None, markup: str = "xml") -> Document:
    """As `parse_document`, of text. With `markup` "html" it is not tried as XML."""
    warnings = [] if warnings is None else warnings
    end = text.rfind("-->") + 1
    if "<!--" in text[end:]:  # the parser would leave out the rest of the document without a word
        warnings.append(f"{name}: a comment is not closed; what follows it was read as text")
        text = text[:end] + text[end:].replace("<!--", "")
    unknown: dict[str, None] = {}
    prepared = _prepare(text, unknown)
    if unknown:
        warnings.append(f"{name}: unknown entities are read as they are written: {', '.join(list(unknown)[:5])}")
    root = None
    if markup == "xml":
        try:
            root = etree.fromstring(prepared.encode(), _xml_parser())
        except etree.XMLSyntaxError as error:
            warnings.append(f"{name}: it is not well-formed and was read as HTML ({error.msg})")
    if root is None:
        root = _parse_html(prepared, name)
    insert_drawn_text(root)
    return Document(name, root, _count(root), warnings)


def parse_xml(data: bytes, name: str) -> tuple[Element, list[str]]:
    """The tree of one of the book's own files (container, package, contents), repaired where it is not well-formed.

    Raises `BookError` where nothing can be read.
    """
    text, warnings = decode(data, name)
    prepared = _prepare(text, {})
    try:
        return etree.fromstring(prepared.encode(), _xml_parser()), warnings
    except etree.XMLSyntaxError as error:
        reason = error.msg
    try:
        root = etree.fromstring(prepared.encode(), _xml_parser(recover=True))
    except etree.XMLSyntaxError:
        root = None
    if root is None:
        raise BookError(f"{name}: cannot be parsed as XML: {reason}")
    return root, [*warnings, f"{name}: it is not well-formed and was repaired ({reason})"]


def _xml_parser(recover: bool = False) -> etree.XMLParser:
    # Document types, and with them all entities, are removed before.
    return etree.XMLParser(
        encoding="utf-8", resolve_entities=False, no_network=True, load_dtd=False, huge_tree=True, recover=recover,
        remove_comments=True, remove_pis=True,
    )  # fmt: skip


def _parse_html(prepared: str, name: str) -> Element:
    prepared = _CDATA.sub(lambda found: escape(found[1], quote=False), prepared)  # in HTML it would be a comment
    parser = etree.HTMLParser(encoding="utf-8", no_network=True, huge_tree=True, remove_comments=True, remove_pis=True)
    try:
        root = etree.fromstring(prepared.encode(), parser)
    except etree.ParserError:
        root = None
    except etree.XMLSyntaxError as error:
        if prepared.strip():
            raise BookError(f"{name}: cannot be parsed as HTML: {error.msg}") from None
        root = None
    # The parser then leaves out the rest of the document.
    if any("xcessive depth" in entry.message for entry in parser.error_log):
        raise BookError(f"{name}: its elements are nested more than 2,048 deep; simplify the document")
    return etree.Element("html") if root is None else root


def _prepare(text: str, unknown: dict[str, None]) -> str:
    """The text without document type, with characters in place of named references, and without what XML forbids.

    Entities that the document itself defines are not expanded: they could name files, or grow without limit.
    """
    text = without_prolog(text)
    if "&" in text:
        text = _REFERENCE.sub(lambda found: _dereference(found, unknown), text)
    return _CONTROL.sub("", text)


def _dereference(found: re.Match[str], unknown: dict[str, None]) -> str:
    decimal, hexadecimal, name = found.groups()
    if name:
        if name in _XML_NAMES:
            return found[0]
        if (value := html5.get(f"{name};")) is not None:
            return value if value not in "<&" else f"&#{ord(value)};"
        unknown[found[0]] = None
        return f"&amp;{name};"
    code = int(decimal) if decimal else int(hexadecimal, 16)
    if 0x80 <= code < 0xA0:  # browsers, too, take these for the characters of Windows
        return bytes([code]).decode("cp1252", "ignore")
    legal = code in (9, 10, 13) or 0x20 <= code < 0xD800 or 0xE000 <= code < 0xFFFE or 0x10000 <= code < 0x110000
    return found[0] if legal else ""


def _count(root: Element) -> int:
    """The characters of a tree by lxml's own text method, without its head, scripts and styles."""

    def text(element: Element) -> str:
        return etree.tostring(element, method="text", encoding="unicode", with_tail=False)

    counted = count_characters(text(root))
    depth = 0  # inside of what is taken off already
    for event, element in etree.iterwalk(root, events=("start", "end")):
        name = local_name(element)
        if name in DROPPED or (name == "head" and element.getparent() is root):
            if event == "start" and depth == 0:
                counted -= count_characters(text(element))
            depth += 1 if event == "start" else -1
    return counted
