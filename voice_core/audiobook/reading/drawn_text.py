"""Text that is drawn, and that a document does not have where it is read: initials, bars of fractions."""

import re

from voice_core.audiobook.reading.elements import BLOCKS, DROPPED, Element, classes_of, local_name

_INITIAL = re.compile(r"[\"'“‘«(\[]?[^\W_]")
_WORDS = frozenset("AIOaio")  # of one letter
_INITIAL_CLASS = re.compile(r"drop-?_?cap|initial|lettrine")


def insert_drawn_text(root: Element) -> None:
    """Changes the tree so that its text is what a person reads."""
    for element in list(root.iter()):
        name = local_name(element)
        if name == "img":
            _insert_picture(element)
        elif name == "mfrac" and len(element) == 2:
            element[0].tail = f"/{element[0].tail or ''}"
        elif name in ("div", "p") and any(map(_INITIAL_CLASS.search, classes_of(element))):
            _join_block(element)


def _insert_picture(picture: Element) -> None:
    """Puts the letter of a picture in front of the word that goes on after it: `<img alt="T"/>he` is "The".

    It does so where the alternative text is a single letter or digit, and a word follows without a space; and for
    words of one letter at the beginning of a block. Where the word begins with the letter itself, it stays as it is.
    """
    alternative = (picture.get("alt") or "").strip()
    if not _INITIAL.fullmatch(alternative):
        return
    letter, following = alternative[-1], _text_after(picture)
    is_glued = following[:1].isalnum() and following[0] != letter
    is_word = following[:1].isspace() and following.strip()[:1].islower() and letter in _WORDS
    if is_glued or (is_word and not _has_text_before(picture)):
        picture.tail = alternative + (picture.tail or "")


def _join_block(block: Element) -> None:
    """Moves an initial in a block of its own into the paragraph after it, where that goes on with a small letter."""
    following = block.getnext()
    initial = "".join(block.itertext()).strip()
    if following is None or (block.tail or "").strip() or len(block) > 1 or not _INITIAL.fullmatch(initial):
        return
    rest = (following.text or "").lstrip()
    if rest[:1].islower() and local_name(following) == "p":
        for element in block.iter():
            element.text = None
            element.tail = element.tail if element is block else None
        following.text = initial + rest


def _text_after(element: Element) -> str:
    """The text that follows an element directly in its block."""
    while True:
        if element.tail:
            return str(element.tail)
        following = element.getnext()
        while following is not None:
            name = local_name(following)
            if name in BLOCKS or name in ("br", "img", *DROPPED):
                return ""
            if following.text:
                return str(following.text)
            if len(following):
                following = following[0]
            elif following.tail:
                return str(following.tail)
            else:
                following = following.getnext()
        element = element.getparent()
        if element is None or local_name(element) in BLOCKS:
            return ""


def _has_text_before(element: Element) -> bool:
    """Whether anything but white space precedes an element in its block."""
    while element is not None and local_name(element) not in BLOCKS:
        for before in element.itersiblings(preceding=True):
            if local_name(before) in BLOCKS:
                return False
            if (before.tail or "").strip() or "".join(before.itertext()).strip():
                return True
        element = element.getparent()
        if element is not None and (element.text or "").strip():
            return True
    return False
