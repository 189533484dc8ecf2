"""Front matter, back matter and contents, by type (`epub:type`, `role`, landmarks, guide) and by title."""

import re
import unicodedata
from collections.abc import Iterable

from voice_core.settings.audiobook import AudiobookSettings

SPOKEN = "spoken"
"""The answer for types that are text, wherever they stand."""

_TYPES = {
    "contents": "toc doc-toc landmarks page-list doc-pagelist loi lot loa lov toc-brief",
    "front_matter": "frontmatter cover doc-cover titlepage title-page halftitlepage halftitle copyright-page "
    "seriespage dedication doc-dedication imprint imprimatur other-credits doc-credit doc-credits credits contributors",
    "back_matter": "backmatter index doc-index glossary doc-glossary bibliography doc-bibliography colophon "
    "doc-colophon acknowledgments acknowledgements doc-acknowledgments errata doc-errata revision-history "
    "other.about-the-author credit",
    SPOKEN: "foreword doc-foreword preface doc-preface introduction doc-introduction prologue doc-prologue preamble "
    "epigraph doc-epigraph abstract doc-abstract chapter doc-chapter part doc-part volume epilogue doc-epilogue "
    "afterword doc-afterword conclusion doc-conclusion appendix doc-appendix",
}
_MATTER = {token: matter for matter, tokens in _TYPES.items() for token in tokens.split()}
_GENERIC = frozenset({"frontmatter", "backmatter"})

_TITLES = {
    "contents": "contents|table of contents|toc|list of illustrations|list of figures|list of tables|illustrations|"
    "المحتويات|محتويات الكتاب|فهرس|الفهرس|فهرس المحتويات|فهرس الموضوعات|جدول المحتويات",
    "front_matter": "cover|front cover|title|title page|titlepage|half title|half title page|copyright|"
    "copyright page|copyright notice|copyright information|imprint|dedication|also by|other books by|"
    "books by|praise|series page|publishers note|transcribers note|transcribers notes|"
    "الغلاف|صفحة العنوان|حقوق النشر|حقوق الطبع|حقوق الطبع والنشر|إهداء|الإهداء|الاهداء",
    "back_matter": "index|general index|bibliography|select bibliography|selected bibliography|references|works cited|"
    "sources|further reading|glossary|acknowledgments|acknowledgements|about the author|about the authors|"
    "about the publisher|about the translator|colophon|credits|photo credits|permissions|errata|newsletter|"
    "back cover|advertisements|the full project gutenberg license|"
    "full license|the full project gutenberg tm license|"
    "المراجع|المصادر|المصادر والمراجع|قائمة المراجع|ثبت المراجع|عن المؤلف|نبذة عن المؤلف|"
    "شكر وتقدير|مسرد|مسرد المصطلحات|الكشاف",
    "note": "notes|endnotes|end notes|footnotes|notes and references|الهوامش|هوامش|الحواشي",
}
_TITLE_MATTER = {title: matter for matter, titles in _TITLES.items() for title in titles.split("|")}
_AMBIGUOUS = frozenset(
    [
        "contents",
        "illustrations",
        "cover",
        "title",
        "dedication",
        "praise",
        "imprint",
        "index",
        "references",
        "sources",
        "glossary",
        "colophon",
        "credits",
        "permissions",
        "errata",
        "newsletter",
        "advertisements",
        "notes",
        "إهداء",
        "المصادر",
        "الفهرس",
        "فهرس",
    ]
)
_AROUND_TEXT = re.compile(
    r"(?:preface|foreword|introduction|prologue|prelude|epigraph|epilogue|afterword|conclusion|postscript|appendix|"
    r"appendices|maps?|chronology|timeline|(?:list of |cast of )?characters|dramatis personae|to the reader|"
    r"about this book|discussion questions|(?:a )?reading group guide|(?:a )?conversation with|excerpt|preview|"
    r"(?:an? )?(?:note|(?:authors?|editors?|translators?) note)|المقدمة|مقدمة|تمهيد|التمهيد|مدخل|خاتمة|الخاتمة|ملحق)\b"
)
_TITLE_BEGINS = re.compile(r"(?:also|other (?:books|works|titles)|books|praise)( by| for) |(?:more )?about the author")
_COPYRIGHT = re.compile(r"all rights reserved|\bcopyright\b|©|\bISBN\b|حقوق (?:الطبع|النشر)", re.I)
_COPYRIGHT_LINE = re.compile(
    r"(?:copyright\s*)?(?:©|\(c\)|copyright)\s*\d{4}|.{0,300}\ball rights reserved\b|ISBN[\s:\d]|حقوق (?:الطبع|النشر)",
    re.I | re.S,
)
_DEDICATION = re.compile(r"(?:for|to|in (?:loving )?memory of|dedicated to|إلى|الى)\s[^.!?؟]{1,100}[.!]?", re.I)
_LONGEST_COPYRIGHT_PAGE = 5_000
_LONGEST_COPYRIGHT_LINE = 1_000
_LONGEST_TITLE_PAGE = 300


def matter_of_types(types: Iterable[str]) -> str:
    """ "front_matter", "back_matter", "contents", `SPOKEN`, or "" where the types say nothing. The special type wins.

    >>> matter_of_types(["frontmatter", "preface"]), matter_of_types(["doc-index"]), matter_of_types(["bodymatter"])
    ('spoken', 'back_matter', '')
    """
    generic = ""
    for token in sorted(types):
        if matter := _MATTER.get(token, ""):
            if token not in _GENERIC:
                return matter
            generic = matter
    return generic


def matter_of_title(title: str) -> str:
    """As `matter_of_types` of a chapter's title; also "note" for chapters of notes.

    >>> matter_of_title("Copyright"), matter_of_title("INDEX."), matter_of_title("Notes from Underground")
    ('front_matter', 'back_matter', '')
    """
    plain = _plain(title)
    if found := _TITLE_MATTER.get(plain):
        return found
    if begins := _TITLE_BEGINS.match(plain):
        return "front_matter" if begins[1] else "back_matter"
    return ""


def is_ambiguous(title: str) -> bool:
    """Whether a title of matter might be that of a chapter as well.

    >>> is_ambiguous("SOURCES"), is_ambiguous("Acknowledgments")
    (True, False)
    """
    return _plain(title) in _AMBIGUOUS


def is_around_text(title: str) -> bool:
    """Whether a title is that of something between front or back matter and the chapters.

    >>> is_around_text("Preface to the Second Edition"), is_around_text("The Preface")
    (True, False)
    """
    return bool(_AROUND_TEXT.match(_plain(title)))


def _plain(title: str) -> str:
    """The words of a title in small letters."""
    plain = "".join(char for char in title.casefold() if char.isalnum() or char.isspace())
    return " ".join(unicodedata.normalize("NFC", plain).split())


def matter_of_unlisted_text(text: str, title: str, authors: Iterable[str]) -> str:
    """ "front_matter" for a document before the first chapter of the contents that is a copyright or title page, or a
    dedication."""
    if _DEDICATION.fullmatch(text):
        return "front_matter"
    if len(text) <= _LONGEST_COPYRIGHT_PAGE and _COPYRIGHT.search(text):
        return "front_matter"
    if title and len(text) <= _LONGEST_TITLE_PAGE and text.casefold().startswith(title.casefold()):
        rest = text[len(title) :].casefold()
        if rest[:1].isalnum():
            return ""
        for author in authors:
            rest = rest.replace(author.casefold(), "")
        return "" if re.search(r"[.!?؟]\s", rest) else "front_matter"
    return ""


def is_copyright(text: str) -> bool:
    """Whether a paragraph before the first chapter is a notice of copyright.

    >>> is_copyright("Copyright © 2020 by A. One. All rights reserved."), is_copyright("Copyright is a right.")
    (True, False)
    """
    return len(text) <= _LONGEST_COPYRIGHT_LINE and bool(_COPYRIGHT_LINE.match(text))


def is_skipped(matter: str, settings: AudiobookSettings) -> bool:
    """Whether the settings leave out front or back matter; contents always are left out."""
    return {
        "front_matter": settings.front_matter == "skip",
        "back_matter": settings.back_matter == "skip",
        "note": settings.notes == "skip",
        "contents": True,
    }.get(matter, False)
