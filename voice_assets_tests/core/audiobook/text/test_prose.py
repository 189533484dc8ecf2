"""What ordinary prose needs: decades, kings, long words side by side."""

import pytest

from voice_assets_tests.core.audiobook.epub_builder import build_epub, xhtml
from voice_core.audiobook.model import Block, Book, Chapter, count_characters
from voice_core.audiobook.reading import read_book
from voice_core.audiobook.text import load_lexicon, make_rows
from voice_core.settings.audiobook import AudiobookSettings
from voice_core.tts import load_engine


def rows_of(text: str, language: str = "en") -> list[object]:
    block = Block(text)
    book = Book("A book", (Chapter("One", (block,)),), count_characters(text), language=language)
    settings = AudiobookSettings(chapter_titles=False)
    return list(make_rows(book, settings, load_engine("hibari"), load_lexicon("")))


def spoken(text: str) -> str:
    return " ".join(row.spoken_text for row in rows_of(text) if row.is_spoken)  # type: ignore[attr-defined]


def test_long_words_side_by_side_are_refused_and_the_sum_holds() -> None:
    text = f"It said {'a' * 61}-{'b' * 61} and no more."
    rows = rows_of(text)
    assert sum(count_characters(row.text) for row in rows) == count_characters(text)  # type: ignore[attr-defined]
    assert [row.refused for row in rows if row.refused] == ["word_too_long"] * 2  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("It was the 80s again.", "eighties"),
        ("In the mid-1990s it rained.", "nineteen nineties"),
        ("Louis XIV's reign was long.", "Louis the fourteenth's"),
    ],
)
def test_spoken_forms(text: str, expected: str) -> None:
    assert expected in spoken(text)


def test_a_language_of_three_letters_is_that_language() -> None:
    data = build_epub(title="Sea", language="eng", documents={"one.xhtml": xhtml('<p xml:lang="eng">It was late.</p>')})
    book = read_book(data, "sea.epub", AudiobookSettings())
    assert book.language == "en"
    rows = make_rows(book, AudiobookSettings(), load_engine("hibari"), load_lexicon(""))
    assert [row.refused for row in rows if row.refused] == []


def test_a_short_word_that_is_a_link_is_spoken() -> None:
    body = '<p>The old <a href="#n1">king</a> came.</p><p id="n1">He came again.</p>'
    book = read_book(build_epub(documents={"one.xhtml": xhtml(body)}), "king.epub", AudiobookSettings())
    assert "The old king came." in [block.text for block in book.blocks()]


def test_figures_with_wide_spaces_are_not_joined() -> None:
    book = read_book(b"<html><body><p>1 2 3 4   5 6 7 8</p></body></html>", "figures.html", AudiobookSettings())
    assert [block.text for block in book.blocks()] == ["1 2 3 4 5 6 7 8"]


def test_a_document_of_line_breaks_and_a_text_of_tags_are_read_in_time() -> None:
    html = "<html><body><p>" + "A line of the page.<br>" * 20_000 + "</p></body></html>"
    book = read_book(html.encode(), "lines.html", AudiobookSettings())
    assert book.adds_up
    tags = "[A]: x. " * 20_000
    block = Book("t", (Chapter("One", (Block(tags),)),), count_characters(tags), language="en")
    voices = AudiobookSettings(voices={"A": "heart"}, chapter_titles=False)
    assert make_rows(block, voices, load_engine("hibari"), load_lexicon(""))
