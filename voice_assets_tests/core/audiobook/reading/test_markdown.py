"""Markdown is read as it is shown, and what it does not show is listed."""

import pytest

from voice_assets_tests.core.audiobook.reading.helpers import chapters, read_markdown, skipped, spoken

NOTES = """# One

Text[^1] here, and more[^b].[^9]

[^1]: First note
goes on.

    Second paragraph.
[^b]: https://example.org
[id]: http://example.org

After[^c] [it][id].

- Item.

  [^c]:
      Third note.
"""
NOTE_TEXTS = ["First note goes on.", "Second paragraph.", "https://example.org", "Third note."]


def test_notes_are_skipped_spoken_or_moved() -> None:
    text = ["One", "Text here, and more.[^9]", "After it.", "Item."]
    book = read_markdown(NOTES)
    assert spoken(book) == text
    assert skipped(book)["note_mark"] == ["[^1]", "[^b]", "[^c]"]
    assert [item for item in skipped(book)["note"] if not item.startswith("[^")] == NOTE_TEXTS
    assert sorted(spoken(read_markdown(NOTES, notes="speak"))) == sorted(text + NOTE_TEXTS)
    assert spoken(read_markdown(NOTES, notes="move")) == text + NOTE_TEXTS


def test_notes_inside_of_the_text() -> None:
    assert spoken(read_markdown("Text^[A *short* note [1].] here: 2^3 and x^[open.")) == ["Text here: 2^3 and x^[open."]
    assert spoken(read_markdown("Text^[ A note.] here.", notes="speak")) == ["Text A note. here."]


@pytest.mark.parametrize(
    "text",
    [
        "[id]: http://example.org",
        "[id]: <http://example.org>\n  'A title'",
        "[id]: images/a.png",
        "> [id]: /contents",
        "- [id]: #one",
        "<!-- a comment -->",
        "<!-- a\n\ncomment -->",
        "Text <!-- a comment --> here.",
        "<?php echo ?>",
        "<!DOCTYPE html>",
        "## Heading {#id .class}",
        "::: {.epigraph}\nTo be.\n:::",
        "\\newpage",
    ],
)
def test_what_is_not_shown_is_listed(text: str) -> None:
    book = read_markdown(f"Before.\n\n{text}\n\nAfter.")
    said, hidden = " ".join(spoken(book)), "".join(skipped(book)["hidden"])
    assert said.startswith("Before.")
    assert said.endswith("After.")
    words = text.replace("<", " <").replace("{", " {").split()
    assert [word for word in words if word.strip(">-#") and word not in said and word not in hidden] == []


def test_text_that_looks_like_markup_is_text() -> None:
    assert spoken(read_markdown("He <sigh> left.\n\n<gasp>\n\n[Ben]: 10:30\n\n[Ann]: Yes/no.")) == [
        "He <sigh> left.", "<gasp>", "[Ben]: 10:30", "[Ann]: Yes/no."
    ]  # fmt: skip


@pytest.mark.parametrize(
    "text", ["---\nIt was night. He said: go.\n\n---\n\nMore.\n", "---\n\nNote: night.\n\n---\n\nMore.\n"]
)
def test_lines_around_text_are_no_header(text: str) -> None:
    book = read_markdown(text)
    assert spoken(book)[-1] == "More."
    assert len(spoken(book)) == 2
    assert "metadata" not in skipped(book)


def test_a_header_in_toml() -> None:
    book = read_markdown('+++\ntitle = "The Sea"\nauthors = ["A. One"]\n+++\n\nText.\n')
    assert (book.title, book.authors, spoken(book)) == ("The Sea", ("A. One",), ["Text."])


def test_attributes_of_headings_are_not_spoken() -> None:
    book = read_markdown("# Chapter 1 {#one}\n\nText.\n\nChapter *2* {.x #y}\n===\n\nText {#here}.\n")
    assert chapters(book) == {"Chapter 1": ["Chapter 1", "Text."], "Chapter 2": ["Chapter 2", "Text {#here}."]}


def test_a_header_of_lines_with_a_percent_sign() -> None:
    book = read_markdown("% The Sea\n  and Land\n% A. One\n\nText.\n")
    assert (book.title, book.authors, spoken(book)) == ("The Sea and Land", ("A. One",), ["Text."])
    assert spoken(read_markdown("% of it is gone.\nAll of it.\n")) == ["% of it is gone. All of it."]


def test_indented_paragraphs_are_prose_unless_they_are_code() -> None:
    said = '"It is *late*, and I am tired," he said, and went away.'
    prose = f"    {said}\n\n    Nobody saw him go that night, as it was dark.\n"
    code = "    x = f(a, b, c, d, e, g, h).\n\n    if a b c d e f g h i then.\n"
    book = read_markdown(f"# One\n\n{prose}\nText.\n\n{code}")
    assert spoken(book)[1:] == [said.replace("*", ""), "Nobody saw him go that night, as it was dark.", "Text."]
    assert [block.place for block in book.blocks()][1:3] == ["a.md line 3", "a.md line 5"]
    assert len(skipped(book)["code"]) == 1
