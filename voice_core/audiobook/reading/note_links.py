"""Which elements of a book are notes, and which links are marks that refer to them.

Books that say so (`epub:type`, `role`, class) are easy. In others a note is known by two links: a mark in the text, and
one back at the beginning of the note.
"""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from itertools import islice

from lxml import etree

from voice_core.audiobook.reading.documents import Document
from voice_core.audiobook.reading.elements import (
    BACKLINK_CLASSES,
    BACKLINK_TYPES,
    BLOCKS,
    MARK_CLASSES,
    MARK_TYPES,
    NOTE_CLASSES,
    NOTE_LIST_CLASSES,
    NOTE_LIST_TYPES,
    NOTE_TYPES,
    Element,
    classes_of,
    id_of,
    is_raised,
    local_name,
    text_within,
    types_of,
)

_MARK = re.compile(r"[\[({]?\s*(?:\d{1,4}|[*†‡§¶‖#]{1,4}|[a-z]|[ivxlc]{1,6})\s*[\])}.:]?", re.I)
_LONG_MARK = re.compile(r"\[[^\]]{1,28}\]|\([^)]{1,12}\)")
_BACK = re.compile(r"[\s↩↵⏎↑↲←⤴^«\[\]()\ufe0e\ufe0f]*(?:back|return|go back|top)?[\s\]).↩\ufe0e]*", re.I)
_BRACKETS = " \t\r\n\xa0[]({}).*"
LONGEST_MARK = 30
_LARGEST_NOTE = 200  # elements that are searched for the link back

Resolve = Callable[[str, str], tuple[str, str] | None]
"""From a document's name and a link in it to the name of the other document and the fragment; None for other links."""


@dataclass(slots=True)
class NoteLinks:
    """`notes` has the place "document#id" of the note that contains an id, by the place of the id. `elements` has the
    note of an element, by document and the element's number; "" in lists of notes, outside of each."""

    resolve: Resolve
    notes: dict[str, str] = field(default_factory=dict)
    elements: dict[tuple[str, int], str] = field(default_factory=dict)

    def target(self, document: str, element: Element) -> str:
        """The place that a link leads to; "" where it leads out of the book or to a whole document."""
        href = element.get("href")
        found = self.resolve(document, href) if href and "#" in href else None
        return f"{found[0]}#{found[1]}" if found and found[1] else ""

    def mark(self, document: str, element: Element, inside_note: bool) -> tuple[bool, str]:
        """Whether an element is a mark of a note, and the place of the note ("" where that is not known)."""
        types = types_of(element)
        if local_name(element) != "a":
            is_mark = bool(types & MARK_TYPES) and is_mark_text(text_within(element, LONGEST_MARK))
            return is_mark, ""
        classes = classes_of(element)
        if not (href := element.get("href")) and not types & MARK_TYPES:
            return False, ""
        text = text_within(element, LONGEST_MARK)
        if types & BACKLINK_TYPES or classes & BACKLINK_CLASSES:
            return is_mark_text(text) or bool(_BACK.fullmatch(text)), ""
        if not is_mark_text(text) and not (inside_note and _BACK.fullmatch(text)):
            return False, ""
        if inside_note and "#" in (href or ""):
            return True, ""
        place = self.target(document, element) if href else ""
        note = self.notes.get(place, "")
        if types & MARK_TYPES or classes & MARK_CLASSES or note:
            return True, note
        return bool(_MARK.fullmatch(text.strip()) and place and _is_superscript(element)), ""


def find_notes(documents: Iterable[Document], resolve: Resolve) -> NoteLinks:
    """All notes of a book."""
    links = NoteLinks(resolve)
    places: dict[str, tuple[Document, Element]] = {}
    marks: list[tuple[Document, Element, str]] = []
    targets: set[str] = set()
    for document in documents:
        for element in document.root.iter():
            if found := id_of(element):
                places.setdefault(f"{document.name}#{found}", (document, element))
            if local_name(element) == "a" and (place := links.target(document.name, element)):
                targets.add(place)
                if _MARK.fullmatch(text_within(element, LONGEST_MARK).strip()):
                    marks.append((document, element, place))
    linked: dict[tuple[str, Element], str] = {}
    for document, element, place in marks:
        if place in places and (block := _paired_note(links, document, element, *places[place])) is not None:
            linked.setdefault((places[place][0].name, block), place)
    for document in documents:
        _walk(links, document, targets, linked)
    return links


def _walk(links: NoteLinks, document: Document, targets: set[str], linked: dict[tuple[str, Element], str]) -> None:
    """Records the notes of a document, and every id inside them."""
    number, note_depth, list_depth, depth = -1, 0, 0, 0
    note, pending = "", False  # `pending`: the note's place is the first id inside it
    first = -1
    for event, element in etree.iterwalk(document.root, events=("start", "end")):
        if event == "end":
            if note_depth == depth:
                note_depth, note, pending = 0, "", False
            if list_depth == depth:
                list_depth = 0
            depth -= 1
            continue
        depth += 1
        number += 1
        own = id_of(element)
        place = f"{document.name}#{own}" if own else ""
        if not note_depth and local_name(element) in BLOCKS:
            types, classes = types_of(element), classes_of(element)
            is_list = bool(types & NOTE_LIST_TYPES or classes & NOTE_LIST_CLASSES)
            key = linked.get((document.name, element), "")
            is_note = bool(types & NOTE_TYPES or classes & NOTE_CLASSES) and not is_list
            if is_note or key or (list_depth and place in targets and not is_list):
                note_depth, first = depth, number
                note = key or place
                pending = not note
                links.elements[document.name, number] = note
            elif is_list and not list_depth:
                list_depth = depth
                links.elements[document.name, number] = ""
        if note_depth and place:
            if pending:
                note, pending = place, False
                links.elements[document.name, first] = note
            links.notes.setdefault(place, note)


def _paired_note(
    links: NoteLinks, document: Document, mark: Element, other: Document, target: Element
) -> Element | None:
    """The block of the note that a mark refers to; None where the target does not look like a note."""
    block = _block(target)
    if block is None or local_name(block) in ("body", "html", "h1", "h2", "h3", "h4", "h5", "h6", "section"):
        return None
    own_block = _block(mark)
    superscript = _is_superscript(mark)
    if own_block is None or block is own_block or (not superscript and _begins_with(own_block, mark)):
        return None
    for link in islice(block.iter(), _LARGEST_NOTE):
        if local_name(link) == "a" and link.get("href"):
            back = links.target(other.name, link)
            if back.partition("#")[0] == document.name and (
                _begins_with(block, link) or _BACK.fullmatch(text_within(link, LONGEST_MARK))
            ):
                return block
    label = text_within(mark, LONGEST_MARK).strip(_BRACKETS)
    start = text_within(block, 40).strip(_BRACKETS)
    is_labelled = bool(label) and re.match(rf"{re.escape(label)}(?!\w)", start) is not None
    says_so = types_of(mark) & MARK_TYPES or classes_of(mark) & MARK_CLASSES
    return block if is_labelled and (superscript or says_so or _is_bracketed(mark)) else None


def _block(element: Element) -> Element | None:
    while element is not None and local_name(element) not in BLOCKS:
        element = element.getparent()
    return element


def _begins_with(block: Element, link: Element) -> bool:
    """Whether a block has no text but brackets before a link."""
    for event, element in etree.iterwalk(block, events=("start", "end")):
        if event == "start" and element is link:
            return True
        text = element.text if event == "start" else element.tail
        if text and text.strip(_BRACKETS):
            return False
    return False


def _is_superscript(link: Element) -> bool:
    parent = link.getparent()
    near = [link, *link, *([parent] if parent is not None else [])]
    if parent is not None and parent.getparent() is not None:
        near.append(parent.getparent())
    return any(is_raised(element, local_name(element), classes_of(element)) for element in near)


def _is_bracketed(link: Element) -> bool:
    before, parent = link.getprevious(), link.getparent()
    text = before.tail if before is not None else parent.text if parent is not None else ""
    inside = text_within(link, LONGEST_MARK).strip()
    return inside.startswith("[") or ((text or "").endswith("[") and (link.tail or "").startswith("]"))


def is_mark_text(text: str) -> bool:
    """Whether a text is a note's mark by its form.

    >>> [is_mark_text(text) for text in ("12", "[note 3]", "†", "king", "the note on whales")]
    [True, True, True, False, False]
    """
    text = text.strip()
    return bool(text) and (
        bool(_MARK.fullmatch(text)) or (len(text) <= 4 and not text.isalpha()) or bool(_LONG_MARK.fullmatch(text))
    )
