"""Initials that are pictures: their letter becomes text."""

import re

from voice_core.audiobook.reading.elements import BLOCKS, DROPPED, Element, local_name

_INITIAL = re.compile(r"[\"'“‘«(\[]?[^\W_]")
_WORDS = frozenset("AIOaio")  # of one letter


def insert_initials(root: Element) -> None:
    """Puts the letter of a picture in front of the word that goes on after it: `<img alt="T"/>he` is "The".

    It does so where the alternative text is a single letter or digit, and a word follows without a space; and for
    words of one letter at the beginning of a block. Where the word begins with the letter itself, it stays as it is.
    """
    for picture in [element for element in root.iter() if local_name(element) == "img"]:
        alternative = (picture.get("alt") or "").strip()
        if not _INITIAL.fullmatch(alternative):
            continue
        letter, following = alternative[-1], _text_after(picture)
        is_glued = following[:1].isalnum() and following[0] != letter
        is_word = following[:1].isspace() and following.strip()[:1].islower() and letter in _WORDS
        if is_glued or (is_word and not _has_text_before(picture)):
            picture.tail = alternative + (picture.tail or "")


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
