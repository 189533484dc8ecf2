"""Chapters follow the contents of the book, else its headings, else its documents."""

import pytest

from voice_assets_tests.core.audiobook.epub_builder import ncx_document
from voice_assets_tests.core.audiobook.reading.helpers import all_blocks, chapters, read_epub, skipped, spoken
from voice_core.audiobook.model import Book

ONE_FILE = {
    "book.xhtml": '<h2 id="c1">I</h2><p>First.</p><h2><a id="c2"></a>II</h2><p>Second.</p>'
    '<div id="c3"><p>Third.</p></div><p>End of third. <span id="c4"/>Fourth begins.</p>'
}
ANCHORS = [("One", "book.xhtml#c1"), ("Two", "book.xhtml#c2"), ("Three", "book.xhtml#c3"), ("Four", "book.xhtml#c4")]
EXPECTED = {
    "One": ["I", "First."], "Two": ["II", "Second."], "Three": ["Third.", "End of third."], "Four": ["Fourth begins."]
}  # fmt: skip


def levels(book: Book) -> list[tuple[str, int]]:
    return [(chapter.title, chapter.level) for chapter in book.chapters]


@pytest.mark.parametrize("version", ["3.0", "2.0"])
def test_chapters_begin_at_anchors_inside_of_files(version: str) -> None:
    arguments = {"nav": ANCHORS} if version == "3.0" else {"nav": None, "ncx": ANCHORS}
    assert chapters(read_epub(documents=ONE_FILE, version=version, **arguments)) == EXPECTED


def test_the_order_is_that_of_the_text_and_levels_are_kept() -> None:
    nav = [("Part", "ch1.xhtml"), ("Two", "ch2.xhtml", 2), ("Second", "ch2.xhtml#p", 3), ("One", "ch1.xhtml#o", 2)]
    book = read_epub(
        documents={"ch1.xhtml": '<h1>Part</h1><h2 id="o">One</h2><p>A.</p>', "ch2.xhtml": '<p>B.</p><p id="p">C.</p>'},
        nav=nav,
    )
    assert levels(book) == [("Part", 1), ("One", 2), ("Two", 2), ("Second", 3)]


@pytest.mark.parametrize(
    "href", ["ch%201.xhtml", "CH 1.XHTML#A", "./x/../ch%201.xhtml#a", "ch%201.xhtml#%61", "ch 1.xhtml#missing"]
)
def test_links_are_percent_encoded_of_another_case_or_with_fragments(href: str) -> None:
    documents = {"intro.xhtml": "<p>Intro.</p>", "ch 1.xhtml": '<p id="a">Text.</p>'}
    book = read_epub(documents=documents, nav=[("Intro", "intro.xhtml"), ("One", href)])
    assert chapters(book) == {"Intro": ["Intro."], "One": ["Text."]}


def test_the_manifest_may_have_fragments_and_percent_encoding() -> None:
    book = read_epub(
        documents={"a.xhtml": "<p>A.</p>"},
        manifest='<item id="b" href="b%20b.xhtml#top" media-type="application/xhtml+xml"/>',
        members={"OEBPS/b b.xhtml": "<html><body><p>B.</p></body></html>"},
        spine=["a.xhtml", "b"],
        nav=None,
    )
    assert spoken(book) == ["A.", "B."]


BROKEN = {
    "none": None,
    "no XML": "not a document at all",
    "unclosed": '<html><body><nav epub:type="toc"><ol><li><a href="nowhere.xhtml">X',
    "empty": '<html xmlns="http://www.w3.org/1999/xhtml"><body><nav><ol/></nav></body></html>',
}


@pytest.mark.parametrize("nav", BROKEN.values(), ids=BROKEN)
def test_without_usable_contents_headings_are_the_chapters(nav: str | None) -> None:
    assert chapters(read_epub(nav=nav)) == {
        "One": ["One", "It was a bright day. The clocks were right."],
        "Two": ["Two", "It rained.", "Nobody minded."],
    }


def test_missing_contents_are_a_warning() -> None:
    book = read_epub(leave_out=["OEBPS/nav.xhtml"])
    assert list(chapters(book)) == ["One", "Two"]
    assert any("contents cannot be read" in warning and "nav.xhtml" in warning for warning in book.warnings)


def test_the_ncx_is_used_where_the_navigation_document_is_empty() -> None:
    nav = '<html xmlns="http://www.w3.org/1999/xhtml"><body><nav><ol/></nav></body></html>'
    book = read_epub(nav=nav, ncx=[("Uno", "ch1.xhtml"), ("Dos", "ch2.xhtml")])
    assert list(chapters(book)) == ["Uno", "Dos"]


def test_cyclic_contents_give_each_text_once() -> None:
    nav = [
        ("One", "ch1.xhtml"),
        ("Two", "ch2.xhtml"),
        ("One", "ch1.xhtml", 2),
        ("Contents", "nav.xhtml"),
        ("Two", "ch2.xhtml"),
    ]
    book = read_epub(nav=nav)
    assert spoken(book) == ["One", "It was a bright day. The clocks were right.", "Two", "It rained.", "Nobody minded."]
    assert list(chapters(book)) == ["One", "Two"]


def test_contents_nested_a_thousand_deep() -> None:
    ncx = ncx_document([("One" if i == 1 else f"T{i}", "ch1.xhtml", i) for i in range(1, 900)])
    assert next(iter(chapters(read_epub(nav=None, ncx=ncx)))).startswith("One")


def test_without_headings_each_document_is_a_chapter() -> None:
    book = read_epub(documents={"a.xhtml": "<p>A.</p>", "b.xhtml": "<p/>", "c.xhtml": "<p>C.</p>"}, nav=None)
    assert chapters(book) == {"1": ["A."], "2": ["C."]}


def test_a_heading_that_numbers_a_chapter_takes_the_one_below() -> None:
    body = "<h1>CHAPTER I</h1><h2>Loomings</h2><p>A.</p><h1>CHAPTER II</h1><p>B.</p><h2>Later</h2><p>C.</p>"
    book = read_epub(documents={"a.xhtml": body}, nav=None)
    assert levels(book) == [("CHAPTER I. Loomings", 1), ("CHAPTER II", 1), ("Later", 2)]


def test_contents_with_one_entry_do_not_hide_headings() -> None:
    body = "".join(f"<h2>Chapter {i}</h2><p>Text {i}.</p>" for i in range(1, 5))
    book = read_epub(documents={"a.xhtml": body}, nav=[("Start", "a.xhtml")])
    assert list(chapters(book)) == ["Chapter 1", "Chapter 2", "Chapter 3", "Chapter 4"]
    assert any("one entry" in warning for warning in book.warnings)


def test_markers_are_chapters_and_are_not_spoken() -> None:
    body = "<p>&lt;&lt;CHAPTER_MARKER:One&gt;&gt;</p><p>A.</p><p>&lt;&lt;CHAPTER_MARKER: Two&gt;&gt;</p><p>B.</p>"
    book = read_epub(documents={"a.xhtml": body}, nav=None)
    assert chapters(book) == {"One": ["A."], "Two": ["B."]}
    assert len(skipped(book)["chapter_marker"]) == 2


def test_documents_that_are_not_linear_are_left_out() -> None:
    book = read_epub(nonlinear=("ch2.xhtml",), nav=[("One", "ch1.xhtml")])
    assert chapters(book) == {"One": ["One", "It was a bright day. The clocks were right."]}
    assert [(block.skipped, block.text) for block in book.unplaced] == [
        ("not_linear", "Two"), ("not_linear", "It rained."), ("not_linear", "Nobody minded.")
    ]  # fmt: skip


def test_a_document_that_the_spine_repeats_is_read_once() -> None:
    book = read_epub(spine=["ch1.xhtml", "ch2.xhtml", "ch1.xhtml"])
    assert spoken(book).count("One") == 1
    assert any("twice" in warning for warning in book.warnings)


def test_empty_chapters_are_kept_and_reported() -> None:
    book = read_epub(
        documents={
            "a.xhtml": "<h1>One</h1><p>A.</p>",
            "b.xhtml": '<p><img src="b.jpg" alt=""/></p>',
            "c.xhtml": "<p>C.</p>",
        },
        nav=[("One", "a.xhtml"), ("Map", "b.xhtml"), ("Two", "c.xhtml")],
    )
    assert chapters(book) == {"One": ["One", "A."], "Map": [], "Two": ["C."]}
    assert 'the chapter "Map" has no text' in book.warnings


def test_the_title_of_a_chapter_is_a_heading_though_it_is_not_marked_up() -> None:
    body = '<p class="t">The Sea</p><p>Text.</p>'
    book = read_epub(
        documents={"a.xhtml": body, "b.xhtml": "<p>B.</p>"}, nav=[("The sea.", "a.xhtml"), ("B", "b.xhtml")]
    )
    assert [block.kind for block in all_blocks(book)[:2]] == ["heading", "paragraph"]


def test_the_navigation_document_in_the_spine_is_not_spoken() -> None:
    book = read_epub(spine=["nav", "ch1.xhtml", "ch2.xhtml"])
    assert list(chapters(book)) == ["One", "Two"]
    assert skipped(book) == {"contents": ["Contents", "One", "Two"]}


def test_a_title_in_several_paragraphs_is_the_heading() -> None:
    documents = {"a.xhtml": "<p>1</p><p>The Storm</p><p>Text.</p>", "b.xhtml": "<p>2</p><p>Text.</p>"}
    book = read_epub(documents=documents, nav=[("1 The Storm", "a.xhtml"), ("Two", "b.xhtml")])
    kinds = [[block.kind for block in chapter.blocks] for chapter in book.chapters]
    assert kinds == [["heading", "heading", "paragraph"], ["paragraph", "paragraph"]]


def test_paragraphs_that_number_chapters_are_headings_where_there_are_no_others() -> None:
    body = "<p>Chapter 1</p><p>Chapter 2</p><p>Chapter 3</p><p>Before it.</p>"
    body += "".join(f"<p><b>CHAPTER {number}</b></p><p>Text.</p>" for number in ("ONE", "TWO", "THREE"))
    book = read_epub(documents={"a.xhtml": body}, nav=None)
    assert [chapter.title for chapter in book.chapters][-3:] == ["CHAPTER ONE", "CHAPTER TWO", "CHAPTER THREE"]
    single = read_epub(documents={"a.xhtml": "<p>Chapter 1</p><p>Text.</p>"}, nav=None)
    assert [block.kind for block in single.chapters[0].blocks] == ["paragraph", "paragraph"]


def test_a_chapter_may_begin_right_after_a_sentence() -> None:
    documents = {"a.xhtml": '<p id="a">One.</p><p>End.<a id="b"></a><b>Chapter 2</b><br/>Two.</p>'}
    book = read_epub(documents=documents, nav=[("Chapter 1", "a.xhtml#a"), ("Chapter 2", "a.xhtml#b")])
    assert chapters(book) == {"Chapter 1": ["One.", "End."], "Chapter 2": ["Chapter 2", "Two."]}


def test_headings_of_title_and_author_do_not_hide_those_of_chapters() -> None:
    body = "<h1>A Book</h1><h2>by An Author</h2>" + "".join(f"<h3>Chapter {i}</h3><p>Text.</p>" for i in (1, 2, 3))
    book = read_epub(documents={"a.xhtml": body}, nav=[("Start", "a.xhtml")])
    assert list(chapters(book))[-3:] == ["Chapter 1", "Chapter 2", "Chapter 3"]
    sections = "<h1>A Book</h1>" + "".join(f"<h2>Sea {i}</h2><h3>A</h3><p>Text.</p><h3>B</h3>" for i in (1, 2))
    assert levels(read_epub(documents={"a.xhtml": sections}, nav=None))[-2:] == [("Sea 1", 2), ("Sea 2", 2)]
