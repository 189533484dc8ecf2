"""The format of a book is decided by its content, then by its suffix."""

import re
import time

import pytest

from voice_assets_tests.core.audiobook.epub_builder import build_epub, xhtml
from voice_assets_tests.core.audiobook.reading.helpers import all_blocks, chapters, skipped, spoken
from voice_core.audiobook.model import Book, BookError
from voice_core.audiobook.reading import BOOK_SUFFIXES, read_book
from voice_core.settings.audiobook import AudiobookSettings

MARKDOWN = """---
title: The Sea
author: [A. One, B. Two]
language: en-GB
---

# Chapter 1

It was *late*, [Contents](/toc/) &amp; `code`.

***

Second paragraph
on two lines.

```python
x = 1
```

# Chapter 2

| Tea | Milk |
|-----|------|
| 4   | 2    |

- item
"""


def read(text: str, name: str) -> Book:
    book = read_book(text.encode(), name, AudiobookSettings())
    assert book.adds_up
    return book


def test_markdown() -> None:
    book = read(MARKDOWN, "a.md")
    assert (book.title, book.authors, book.language) == ("The Sea", ("A. One", "B. Two"), "en-GB")
    assert chapters(book) == {
        "Chapter 1": ["Chapter 1", "It was late, Contents & code.", "Second paragraph on two lines."],
        "Chapter 2": ["Chapter 2", "item"],
    }
    assert skipped(book)["table"] == ["Tea\nMilk", "4\n2"]
    assert skipped(book)["code"] == ["x = 1"]
    assert [block.text for block in all_blocks(book) if block.scene_break_before] == ["Second paragraph on two lines."]
    assert [block.place for block in all_blocks(book) if block.text == "Second paragraph on two lines."] == [
        "a.md line 13"
    ]


def test_the_title_of_markdown_is_the_heading_above_all_chapters() -> None:
    def title(text: str) -> str:
        return read_book(text.encode(), "two_clocks.md", AudiobookSettings()).title

    assert title("# Two Clocks at Home\n\n## Morning\n\nTea.\n\n## Evening\n\nBed.\n") == "Two Clocks at Home"
    assert title("# Morning\n\nTea.\n\n# Evening\n\nBed.\n") == "two clocks"  # chapters, and no title
    assert title("# Morning\n\nTea.\n\n## Later\n\nBed.\n") == "two clocks"  # a chapter with text


def test_a_header_that_is_not_yaml_is_a_warning() -> None:
    book = read("---\ntitle: [\n---\n\nText.", "a.md")
    assert spoken(book) == ["Text."]
    assert any("cannot be parsed as YAML" in warning for warning in book.warnings)


def test_html() -> None:
    book = read(
        '<!DOCTYPE html><html lang="fr"><head><title>La mer</title><meta name="author" content="A. Un"></head>'
        "<body><h1>Un</h1><p>Il pleut<br>ici.<h1>Deux</h1><p>Fin.</body></html>",
        "a.html",
    )
    assert (book.title, book.authors, book.language) == ("La mer", ("A. Un",), "fr")
    assert chapters(book) == {"Un": ["Un", "Il pleut ici."], "Deux": ["Deux", "Fin."]}


def test_the_content_comes_before_the_suffix() -> None:
    assert read_book(build_epub(), "a.txt", AudiobookSettings()).title == "A Book"
    assert spoken(read(xhtml("<p>Text.</p>"), "a.txt")) == ["Text."]
    assert spoken(read("Just <b>text</b>.", "a.html")) == ["Just text."]
    with pytest.raises(BookError, match=r"a\.epub: the file is not a zip archive"):
        read_book(b"text", "a.epub", AudiobookSettings())


def test_markers_in_markdown_are_chapters() -> None:
    book = read("<<CHAPTER_MARKER:One>>\n\nText.\n\n<<CHAPTER_MARKER:Two>>\n\nMore.", "a.md")
    assert chapters(book) == {"One": ["Text."], "Two": ["More."]}


def test_lines_of_other_voices_are_not_links() -> None:
    book = read("She came in.\n[Anna]: Hello.\n[Ben]: Hi, see [this].\n\n[this]: https://example.org\n", "a.md")
    assert spoken(book) == ["She came in.", "[Anna]: Hello.", "[Ben]: Hi, see this."]


def test_an_arabic_book_in_html_without_a_language() -> None:
    book = read("<html dir='rtl'><body><h1>الفصل الأول</h1><p>كان يا ما كان.</p></body></html>", "a.html")
    assert book.language == "ar"
    assert not any(block.language for block in all_blocks(book))


def test_equal_files_give_equal_books() -> None:
    for data, name in ((build_epub(), "a.epub"), (MARKDOWN.encode(), "a.md")):
        assert read_book(data, name, AudiobookSettings()) == read_book(data, name, AudiobookSettings())


@pytest.mark.parametrize("name", ["a.epub", "a.txt", "a.md"])
def test_a_novel_is_read_in_well_under_a_second(name: str) -> None:
    words = " ".join(f"Word{i % 700} is <i>here</i>," for i in range(30))
    chapter = "".join(f"<p>{words} and ends.</p>" for _ in range(50))
    documents = {f"c{i}.xhtml": f"<h1>Chapter {i}</h1>{chapter}" for i in range(1, 27)}
    assert sum(len(body.split()) for body in documents.values()) > 118_000
    text = re.sub(r"<[^>]*>", "", re.sub(r"</p>|</h1>", "\n\n", "".join(documents.values())))
    data = build_epub(documents=documents) if name == "a.epub" else text.encode()
    start = time.process_time()
    book = read_book(data, name, AudiobookSettings())
    assert time.process_time() - start < 1
    assert book.adds_up
    assert book.spoken_characters() > 400_000


def test_many_comments_before_a_document_are_no_trouble() -> None:
    comments = "<!-- a -->" * 2_000
    assert spoken(read(f"{comments}<html><body><p>Text.</p></body></html>", "a.html")) == ["Text."]
    assert spoken(read(f"{comments}<p>Text.</p>", "a.html")) == ["Text."]


def test_suffixes_are_those_of_books() -> None:
    assert {".epub", ".txt", ".md", ".html"} <= set(BOOK_SUFFIXES)
