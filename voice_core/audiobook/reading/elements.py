"""What an element of XHTML means: its names, types and classes."""

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Any

from voice_core.language import short_language_code

Element = Any
"""An element of lxml, which has no types."""


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_EPUB_TYPE = "{http://www.idpf.org/2007/ops}type"
_XML_LANG = "{http://www.w3.org/XML/1998/namespace}lang"

DROPPED = frozenset({"script", "style"})
"""Their content is not text: it is neither spoken nor counted."""
BLOCKS = _words(
    "address article aside blockquote body caption center dd details dialog dir div dl dt fieldset "
    "figcaption figure footer form h1 h2 h3 h4 h5 h6 header hgroup hr html legend li main menu nav ol "
    "option optgroup p pre section select summary table tbody td tfoot th thead tr ul"
)
UNSEEN = _words("annotation annotation-xml audio iframe noscript object template textarea video")
MEDIA = _words("audio canvas image img math object svg video")

NOTE_TYPES = _words("footnote rearnote endnote doc-footnote doc-endnote")
NOTE_LIST_TYPES = _words("footnotes rearnotes endnotes doc-endnotes doc-footnotes")
NOTE_CLASSES = frozenset(["footnote", "endnote", "rearnote"])
NOTE_LIST_CLASSES = frozenset(["footnotes", "endnotes", "rearnotes"])
MARK_TYPES = frozenset(["noteref", "annoref", "doc-noteref"])
MARK_CLASSES = (
    _words("fnanchor footnote-ref footnoteref noteref note-ref fnref footnote-reference endnote-ref endnoteref")
    | NOTE_CLASSES
)
BACKLINK_TYPES = frozenset(["backlink", "referrer", "doc-backlink"])
BACKLINK_CLASSES = _words("footnote-back footnote-backref fn-backref backlink")
PAGE_TYPES = frozenset({"pagebreak", "doc-pagebreak"})
PAGE_CLASSES = _words(
    "pagenum pagenumber page-number pageno page-num page_number x-ebookmaker-pageno page pagebreak page-break pb pgnum "
    "folio"
)
HIDDEN_CLASSES = _words("sr-only visually-hidden visuallyhidden screen-reader-text screenreader")
VERSE = re.compile(r"(?:^|[-_:])(?:poem|poetry|verse|stanza|linegroup|line-group|lg)(?:$|[-_\d])")
LINE_CLASSES = _words("line l verse verse-line poem-line verseline")
CODE_CLASSES = _words("programlisting sourcecode code-block codeblock listing highlight code program")
RAISED_CLASSES = _words("sup super superscript superior")
CAPTION_CLASSES = _words("caption figcaption fig-caption figure-caption image-caption")


_LONGEST_CELL = 400  # characters; what is longer is prose


@lru_cache(maxsize=1024)
def _local(tag: str) -> str:
    return tag.rpartition("}")[2].lower()


def local_name(element: Element) -> str:
    """The name of an element without its namespace, in lower case."""
    return _local(element.tag)  # comments, instructions and entities are removed before the tree is made


def types_of(element: Element) -> frozenset[str]:
    """The tokens of `epub:type` and `role`."""
    value = f"{element.get(_EPUB_TYPE) or element.get('epub:type') or ''} {element.get('role') or ''}"
    return _tokens(value) if value != " " else frozenset()


def classes_of(element: Element) -> frozenset[str]:
    value = element.get("class")
    return _tokens(value) if value else frozenset()


@lru_cache(maxsize=1024)
def _tokens(value: str) -> frozenset[str]:
    return frozenset(value.lower().split())


def language_of(element: Element) -> str:
    return short_language_code(element.get(_XML_LANG) or element.get("lang") or element.get("xml:lang") or "")


def id_of(element: Element) -> str:
    """The id; old documents have anchors by name."""
    found = element.get("id")
    return found or (element.get("name") or "" if local_name(element) == "a" else "")


def is_hidden(element: Element, classes: frozenset[str] = frozenset()) -> bool:
    """Whether an element is not shown: `hidden`, "display: none" in its own style, or text for screen readers."""
    if element.get("hidden") is not None or classes & HIDDEN_CLASSES:
        return True
    style = element.get("style")
    return bool(style) and bool(re.search(r"display\s*:\s*none|visibility\s*:\s*hidden", str(style), re.I))


def is_raised(element: Element, name: str, classes: frozenset[str]) -> bool:
    """Whether the text of an element is above the line."""
    if name == "sup" or classes & RAISED_CLASSES:
        return True
    if name in ("mn", "mrow", "mi") and element.getnext() is None and element.getparent() is not None:
        return local_name(element.getparent()) == "msup"
    style = element.get("style")
    return bool(style) and bool(re.search(r"vertical-align\s*:\s*(?:super|top)", str(style), re.I))


def is_verse(types: Iterable[str], classes: Iterable[str]) -> bool:
    return any(VERSE.search(token) for token in (*types, *classes))


def is_layout(table: Element, types: Iterable[str]) -> bool:
    """Whether a table only places text on a page: it says so, has one column, or has prose in a cell; and no head."""
    if {"presentation", "none"} & {*types}:
        return True
    names = [(local_name(item), item) for item in table.iter()]
    if any(name in ("th", "thead", "caption") for name, _ in names):
        return False
    cells = [item for name, item in names if name == "td"]
    rows = [item for name, item in names if name == "tr"]
    if len(cells) <= len(rows):
        return True
    return any(len(text_within(cell, _LONGEST_CELL)) > _LONGEST_CELL for cell in cells)


def text_within(element: Element, limit: int) -> str:
    """The text of an element with single spaces; of a longer one than `limit` characters, the first `limit` + 1."""
    out, length = [], 0
    for part in element.itertext():
        out.append(part)
        length += len("".join(part.split()))
        if length > limit:
            break
    return " ".join("".join(out).split())[: limit + 1]
