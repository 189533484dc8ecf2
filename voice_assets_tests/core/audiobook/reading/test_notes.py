"""Notes and their marks, however a book has them: skipped, spoken where they are, or moved to the chapter's end."""

import pytest

from voice_assets_tests.core.audiobook.reading.helpers import chapters, read_epub, skipped, spoken
from voice_core.settings.audiobook import AudiobookSettings

TYPED = (
    '<p>Text<a epub:type="noteref" href="#n1">1</a> here.</p><aside epub:type="footnote" id="n1"><p>Note.</p></aside>'
)
ROLE = (
    '<p>Text<a role="doc-noteref" href="#n1">[1]</a> here.</p><aside role="doc-footnote" id="n1"><p>Note.</p></aside>'
)
GUTENBERG = (
    '<p>Text<a id="r1" href="#n1" class="fnanchor">[1]</a> here.</p>'
    '<div class="footnote"><p><a id="n1" href="#r1" class="label">[1]</a> Note.</p></div>'
)
LINKED = '<p>Text<sup><a id="r1" href="#n1">1</a></sup> here.</p><div><p id="n1"><a href="#r1">1</a> Note.</p></div>'
BACK_ARROW = (
    '<p>Text<sup id="r1"><a href="#n1">1</a></sup> here.</p>'
    '<section class="footnotes"><ol><li id="n1"><p>Note. <a href="#r1">↩</a></p></li></ol></section>'
)
LABELLED = '<p>Text [<a href="#n1">1</a>] here.</p><p id="n1">1. Note.</p>'
SAID = '<p>Text<a href="#n1" class="noteref">1</a> here.</p><p id="n1">1 Note.</p>'
FORMS = {
    "class": SAID,
    "epub:type": TYPED, "role": ROLE, "gutenberg": GUTENBERG, "links": LINKED, "arrow": BACK_ARROW, "label": LABELLED
}  # fmt: skip


@pytest.mark.parametrize("body", FORMS.values(), ids=FORMS)
def test_notes_are_skipped_spoken_or_moved(body: str) -> None:
    documents = {"a.xhtml": f"<h1>One</h1>{body}<p>More text.</p>"}
    book = read_epub(documents=documents)
    assert spoken(book) == ["One", "Text here.", "More text."]
    assert set(skipped(book)) == {"note", "note_mark"}
    book = read_epub(AudiobookSettings(notes="speak"), documents=documents)
    assert [text.lstrip("1. ") for text in spoken(book)] == [
        "One",
        "Text here.",
        "Note.",
        "More text.",
    ]
    book = read_epub(AudiobookSettings(notes="move"), documents=documents)
    assert [text.lstrip("1. ") for text in spoken(book)] == [
        "One",
        "Text here.",
        "More text.",
        "Note.",
    ]
    assert {block.kind for block in book.blocks() if block.text.endswith("Note.")} == {"note"}


ENDNOTES = {
    "a.xhtml": '<h1>One</h1><p>First<a epub:type="noteref" href="notes.xhtml#n1">1</a>.</p>',
    "b.xhtml": '<h1>Two</h1><p>Second<a epub:type="noteref" href="notes.xhtml#n2">2</a>.</p>',
    "notes.xhtml": '<section epub:type="endnotes"><h1>Notes</h1><ol><li id="n1">Of one.</li><li id="n2">Of two.</li>'
    '<li id="n3">Of none.</li></ol></section>',
}


@pytest.mark.parametrize("nonlinear", [(), ("notes.xhtml",)])
def test_endnotes_move_to_the_chapters_that_refer_to_them(nonlinear: tuple[str, ...]) -> None:
    book = read_epub(AudiobookSettings(notes="move"), documents=ENDNOTES, nonlinear=nonlinear, nav="headings")
    assert chapters(book) == {"One": ["One", "First.", "Of one."], "Two": ["Two", "Second.", "Of two."]}
    assert {text for texts in skipped(book).values() for text in texts} >= {"Notes", "Of none."}


def test_endnotes_are_not_a_chapter_when_they_are_skipped() -> None:
    book = read_epub(documents=ENDNOTES)
    assert [chapter.title for chapter in book.chapters] == ["One", "Two"]
    assert skipped(book)["note"] == ["Notes", "Of one.", "Of two.", "Of none."]


def test_a_chapter_of_notes_is_known_by_its_title() -> None:
    documents = {"a.xhtml": "<h1>One</h1><p>Text.</p>", "b.xhtml": "<h1>Notes</h1><p>Plain notes.</p>"}
    assert spoken(read_epub(documents=documents)) == ["One", "Text."]
    assert spoken(read_epub(AudiobookSettings(notes="speak"), documents=documents))[-1] == "Plain notes."


def test_references_that_are_words_are_spoken() -> None:
    body = (
        '<p>See <a epub:type="noteref" href="#n1">the note on whales</a> and <a href="b.xhtml#p12">12</a>.</p>'
        '<aside epub:type="footnote" id="n1">Note.</aside>'
    )
    book = read_epub(documents={"a.xhtml": body, "b.xhtml": '<p id="p12">12 whales swam.</p>'}, nav=None)
    assert spoken(book) == ["See the note on whales and 12.", "12 whales swam."]


def test_notes_inside_of_a_paragraph() -> None:
    documents = {"a.xhtml": '<p>Text<span class="footnote"> A note.</span> here<sup class="footnote">3</sup>.</p>'}
    book = read_epub(documents=documents, nav=None)
    assert spoken(book) == ["Text here."]
    assert skipped(book) == {"note": ["A note."], "note_mark": ["3"]}
    assert spoken(read_epub(AudiobookSettings(notes="speak"), documents=documents, nav=None)) == ["Text A note. here."]


def test_a_note_that_two_chapters_refer_to_is_spoken_once() -> None:
    mark = '<a epub:type="noteref" href="c.xhtml#n">*</a>'
    documents = {
        "a.xhtml": f"<h1>One</h1><p>A{mark}</p>",
        "b.xhtml": f"<h1>Two</h1><p>B{mark}</p>",
        "c.xhtml": '<aside epub:type="footnote" id="n">Note.</aside>',
    }
    book = read_epub(AudiobookSettings(notes="move"), documents=documents)
    assert chapters(book) == {"One": ["One", "A", "Note."], "Two": ["Two", "B"]}
