"""Every character of a book is in exactly one block, whatever the book is made of."""

import itertools
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voice_assets_tests.core.audiobook.epub_builder import build_epub
from voice_core.audiobook.model import Book, BookError, count_characters
from voice_core.audiobook.reading import read_book
from voice_core.settings.audiobook import AudiobookSettings

# Few letters, so that words repeat, and what is read in a special way: spaces, invisible characters, signs, brackets.
CHARACTERS = "ab 12²IVX.\n\t\xa0\xad\u200b\u200c\u200f\u0627\u0644\u06dd漢*#_-—[]<>&\"'…{}\x85\x0c\x92\ufeff\u2028é"
TEXT = st.text(CHARACTERS, max_size=12)
INLINE = (
    "span", "i", "b", "sup", "sub", "a", "br", "ruby", "rt", "rp", "code", "img", "script", "style", "svg", "math",
    "template", "noscript", "object", "wbr", "msup", "mfrac", "mn",
)  # fmt: skip
BLOCK = (
    "p", "div", "section", "aside", "h1", "h2", "h3", "ul", "li", "ol", "table", "tr", "td", "th", "caption", "pre",
    "blockquote", "figure", "figcaption", "hr", "nav", "dl", "dt", "dd", "body", "head", "header",
)  # fmt: skip
ATTRIBUTES = st.lists(
    st.sampled_from(
        [
            ("class", "pagenum"), ("class", "footnote"), ("class", "footnotes"), ("class", "poem"), ("class", "line"),
            ("class", "fnanchor"), ("class", "caption"), ("class", "code"), ("id", "n1"), ("id", "n2"), ("id", "c1"),
            ("href", "#n1"), ("href", "#n2"), ("href", "b.xhtml#n1"), ("href", "http://x/#n1"), ("href", "#"),
            ("hidden", "hidden"), ("style", "display: none"), ("role", "doc-footnote"), ("role", "doc-endnotes"),
            ("role", "doc-noteref"), ("role", "doc-pagebreak"), ("role", "presentation"), ("role", "doc-index"),
            ("alt", "T"), ("alt", "* * *"), ("class", "dropcap"), ("class", "super"), ("class", "sr-only"),
            ("role", "doc-preface"), ("role", "heading"), ("lang", "fr"), ("lang", "ar"), ("dir", "rtl"),
        ]
    ),
    max_size=3,
    unique_by=lambda item: item[0],
)  # fmt: skip


def escape(text: str) -> str:
    return "".join(f"&#{ord(char)};" if char in "<>&\"'\x85\x92" else char for char in text if char not in "\x0c")


@st.composite
def markup(draw: st.DrawFn, depth: int = 4) -> str:
    """Nested elements, in which everything may be inside of everything."""
    out = []
    for _ in range(draw(st.integers(0, 4))):
        if depth == 0 or draw(st.booleans()):
            out.append(escape(draw(TEXT)))
        else:
            name = draw(st.sampled_from(INLINE + BLOCK))
            attributes = "".join(f' {key}="{value}"' for key, value in draw(ATTRIBUTES))
            out.append(f"<{name}{attributes}>{draw(markup(depth - 1))}</{name}>")
    return "".join(out)


TEXT_LINES = [
    "CHAPTER I", "Chapter 2: The Sea", "* * *", "[Pg 3]", "_so_", "    in", "-", "", "a[1] b²", "[1] n", "² n", "=b=",
    "[Illustration: c]", "a [Illustration] b", "قال (١)", "(١) ح", "12", "Footnotes:", "con-", "Copyright 2020",
]  # fmt: skip
MARKDOWN_LINES = [
    "# One", "## Two", "---", "| a | b |", "|---|---|", "> q", "- l", "```", "    c", "[^1]: n", "a[^1] ^[b]",
    "[b]: /u", "<!-- c", "-->", "<x>", "# T {#a}", "% t", "+++", "a: b", ":::", "[A]: b", "    [^2]: n", "[^1]:", "<?",
    "<![CDATA[",
]  # fmt: skip
SETTINGS = [
    AudiobookSettings(
        notes=notes, tables=treatment, code=treatment, front_matter=treatment, back_matter=treatment, captions=treatment
    )
    for notes, treatment in itertools.product(("skip", "speak", "move"), ("skip", "speak"))
]


def read(data: bytes, name: str, settings: AudiobookSettings) -> Book | None:
    """The book; None for one without text."""
    try:
        return read_book(data, name, settings)
    except BookError as error:
        if "no text" in str(error) or "is empty" in str(error):
            return None
        raise


@given(markup(), markup(), st.sampled_from(SETTINGS), st.booleans())
def test_epubs_add_up(first: str, second: str, settings: AudiobookSettings, linear: bool) -> None:
    data = build_epub(
        documents={"a.xhtml": f"<p>x</p>{first}", "b.xhtml": second},
        nav=[("One", "a.xhtml"), ("Two", "a.xhtml#c1"), ("Three", "b.xhtml#n2", 2)],
        nonlinear=() if linear else ("b.xhtml",),
    )
    book = read(data, "a.epub", settings)
    assert book is not None
    assert book.adds_up, book
    assert {block.text for block in book.blocks() if not block.text.strip()} == set()


@given(st.text() | TEXT)
def test_characters_are_counted_by_category(text: str) -> None:
    visible = [char for char in text if not char.isspace() and unicodedata.category(char) not in ("Cf", "Cc")]
    assert count_characters(text) == len(visible)


@given(markup(), st.sampled_from(SETTINGS))
def test_html_that_is_not_well_formed_adds_up(body: str, settings: AudiobookSettings) -> None:
    broken = body.replace("</span>", "").replace("</div>", "")
    book = read(f"<html><body><p>x<br>{broken}".encode(), "a.html", settings)
    assert book is not None
    assert book.adds_up, book


@given(st.lists(TEXT | st.sampled_from(TEXT_LINES)), st.sampled_from(SETTINGS))
def test_texts_add_up(lines: list[str], settings: AudiobookSettings) -> None:
    text = "\n".join(lines)
    book = read(text.encode(), "a.txt", settings)
    if book is not None:
        assert book.adds_up, book
        assert book.source_characters == count_characters(text)


@given(st.text(max_size=400))
def test_any_text_adds_up(text: str) -> None:
    data = text.encode("utf-8", "replace")
    if not data.startswith((b"%PDF", b"PK", b"RIFF", b"ID3")) and "\0" not in text and "<" not in text:
        book = read(data, "a.txt", SETTINGS[0])
        assert book is None or book.adds_up, book


@given(st.lists(TEXT | st.sampled_from(MARKDOWN_LINES)), st.sampled_from(SETTINGS))
def test_markdown_adds_up(lines: list[str], settings: AudiobookSettings) -> None:
    book = read("\n".join(lines).encode(), "a.md", settings)
    assert book is None or book.adds_up, book


@pytest.mark.parametrize("settings", SETTINGS)
def test_speaking_more_leaves_less_out(settings: AudiobookSettings) -> None:
    body = (
        '<h1>One</h1><p>Text.<a epub:type="noteref" href="#n">1</a></p><aside epub:type="footnote" id="n"><p>Note.</p>'
        "</aside><table><tr><td>cell</td><td>cell</td></tr></table><figure><figcaption>Caption.</figcaption></figure>"
        "<pre><code>code</code></pre>"
    )
    book = read_book(build_epub(documents={"a.xhtml": body}), "a.epub", settings)
    assert book.adds_up
    left_out = set(book.skipped_characters())
    expected = {"note_mark"} | ({"note"} if settings.notes == "skip" else set())
    assert left_out == expected | ({"table", "code", "caption"} if settings.tables == "skip" else set())
