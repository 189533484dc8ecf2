"""What an engine cannot speak is found beforehand: it has a row with the reason, and the rest is spoken."""

import pytest

from voice_assets_tests.core.audiobook.text.conftest import ANY_LANGUAGE, FakeSpeaker, chunk, make_book, spoken, texts
from voice_core.audiobook.model import Block, BookError, Chapter, SkippedText
from voice_core.audiobook.text import make_rows, parse_lexicon
from voice_core.audiobook.text.lexicon import Lexicon
from voice_core.settings.audiobook import AudiobookSettings


def outcome(*blocks: Block | str, speaker: FakeSpeaker | None = None, language: str = "") -> list[tuple[str, str]]:
    """The text and reason of each row; "" for one that is spoken."""
    return [(row.text, row.refused or row.skipped) for row in chunk(*blocks, speaker=speaker, language=language)]


def test_a_foreign_run_is_refused_and_the_rest_is_spoken() -> None:
    rows = chunk(Block("He said «السلام عليكم» to them, and they left.", place="ch1.xhtml#p4"))
    assert [(row.text, row.refused) for row in rows] == [
        ("He said", ""),
        ("«السلام عليكم»", "foreign_script"),
        ("to them, and they left.", ""),
    ]
    assert rows[1].message == "fake cannot read the script of '«السلام عليكم»' (it speaks en)"
    assert (rows[1].place, rows[1].chunk_id, rows[1].spoken_text) == ("ch1.xhtml#p4", "", "")
    assert [row.pause_after for row in rows if row.is_spoken] == ["clause", "chapter"]


@pytest.mark.parametrize("word", ["Москва", "東京", "١٢", "שלום"])
def test_other_scripts_are_refused(word: str) -> None:
    assert outcome(f"They went to {word} in the end.") == [
        ("They went to", ""), (word, "foreign_script"), ("in the end.", ""),
    ]  # fmt: skip


def test_names_with_accents_signs_and_single_greek_letters_are_spoken() -> None:
    text = "Čapek’s naïve œuvre – “Ærø” – costs € 5, 5 µm or ½; the angle π → 3… © 😀"
    rows = chunk(text)
    assert [row.refused for row in rows] == [""] * len(rows)
    assert "the angle pi" in " ".join(spoken(rows))


def test_an_engine_without_a_list_of_languages_gets_everything() -> None:
    assert outcome("He said السلام to them.", speaker=ANY_LANGUAGE) == [("He said السلام to them.", "")]


def test_an_engine_for_several_languages_has_the_scripts_of_all() -> None:
    speaker = FakeSpeaker(("en", "ar"))
    assert outcome("He said السلام to Москва.", speaker=speaker) == [
        ("He said السلام to", ""), ("Москва.", "foreign_script"),
    ]  # fmt: skip


def test_a_word_in_the_lexicon_is_spoken_in_any_script() -> None:
    lexicon = parse_lexicon('[[entry]]\nword = "السلام"\nrespell = "assalam"'.encode(), "a.toml")
    assert spoken(chunk("He said السلام to them.", lexicon=lexicon)) == ["He said assalam to them."]


def test_a_word_of_more_than_60_letters_is_refused() -> None:
    assert outcome(f"Before {'x' * 60} after.") == [(f"Before {'x' * 60} after.", "")]
    rows = chunk(f"Before it, “{'x' * 5_000}”, and after.")
    assert [(row.text[:20], row.refused) for row in rows] == [
        ("Before it,", ""),
        ("“" + "x" * 19, "word_too_long"),
        ("and after.", ""),
    ]
    assert rows[1].message == f"a word of 5,000 letters, {'x' * 40 + '…'!r}; at most 60 are spoken"
    assert outcome("字" * 300 + "。", speaker=FakeSpeaker(("zh",)), language="zh") == [("字" * 300 + "。", "")]


def test_a_block_in_a_language_that_the_engine_lacks_is_refused() -> None:
    rows = chunk("One went.", Block("Il pleut.", language="fr-FR"), "Two came.")
    assert [(row.text, row.refused) for row in rows] == [
        ("One went.", ""),
        ("Il pleut.", "language"),
        ("Two came.", ""),
    ]
    assert rows[1].message == "fake does not speak 'fr-FR'; it speaks en"


def test_a_book_in_a_language_that_the_engine_lacks_is_an_error() -> None:
    with pytest.raises(
        BookError, match=r"The Book: fake does not speak 'fr'; it speaks en\. .*VOICE_AUDIOBOOK__LANGUAGE"
    ):
        chunk("Il pleut.", language="fr")
    book = make_book(["It rains."], language="fr")
    rows = make_rows(book, AudiobookSettings(language="en-GB"), FakeSpeaker(), Lexicon())
    assert [row.language for row in rows] == ["en-GB"]
    assert [row.language for row in chunk("It rains.", language="und")] == ["en"]


def test_text_without_words_is_an_ornament() -> None:
    assert outcome("***", "— …", "One went. … * * *") == [
        ("***", "ornament"), ("— …", "ornament"), ("One went. … * * *", ""),
    ]  # fmt: skip


def test_skipped_blocks_and_text_inside_blocks_have_rows() -> None:
    note = Block("He came.", inline=(SkippedText("12", "page_number"), SkippedText("[1]", "note mark")))
    book = make_book(
        [Block("A table", "table", skipped="table"), note], unplaced=(Block("Index", skipped="back_matter"),)
    )
    rows = make_rows(book, AudiobookSettings(), FakeSpeaker(), Lexicon())
    assert [(row.chapter, row.block, row.kind, row.text, row.skipped) for row in rows] == [
        (1, 0, "table", "A table", "table"),
        (1, 1, "paragraph", "He came.", ""),
        (1, 1, "inline", "12", "page_number"),
        (1, 1, "inline", "[1]", "note mark"),
        (0, 0, "paragraph", "Index", "back_matter"),
    ]


def titled(title: str, *blocks: Block) -> list[str]:
    book = make_book()
    book = type(book)("The Book", (Chapter(title, blocks),), 0)
    return texts(make_rows(book, AudiobookSettings(), FakeSpeaker(), Lexicon()))


def test_the_title_of_a_chapter_is_spoken_where_the_text_lacks_it() -> None:
    text = Block("It rained all day.")
    assert titled("The Storm", text) == ["The Storm", "It rained all day."]
    assert titled("The Storm", Block("CHAPTER I: THE STORM", "heading"), text)[0] == "CHAPTER I: THE STORM"
    assert (
        titled("Chapter 1 – The Storm", Block("Chapter 1", "heading"), Block("The Storm", "heading"), text)[0]
        == "Chapter 1"
    )
    assert titled("The Storm", Block("The storm."), text) == ["The storm.", "It rained all day."]
    assert titled("", text) == titled("***", text) == ["It rained all day."]
    assert titled("The Storm") == []
    assert titled("The Москва Storm", text) == ["The", "Storm", "It rained all day."]
    book = make_book()
    rows = make_rows(
        type(book)("The Book", (Chapter("Rain", (text,)),), 0), AudiobookSettings(), FakeSpeaker(), Lexicon()
    )
    assert [(row.chunk_id, row.kind, row.pause_after, row.is_added) for row in rows] == [
        ("001-0001", "title", "heading", True),
        ("001-0002", "paragraph", "chapter", False),
    ]
