"""Chunks end at sentences within the limit, too long ones at clauses, and a block's text stays whole."""

import json
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from voice_assets_tests.core.audiobook.text.conftest import (
    FakeSpeaker,
    chunk,
    make_book,
    manifest_of,
    texts,
)
from voice_core.audiobook.model import Block, Book, Chapter
from voice_core.audiobook.text import make_rows
from voice_core.audiobook.text.lexicon import Lexicon
from voice_core.audiobook.text.sentences import split_long, split_sentences
from voice_core.audiobook.text_checks import text_adds_up
from voice_core.recognition.text_words import spoken_forms
from voice_core.settings.audiobook import AudiobookSettings

LONG = "The carriage stopped at the door of the inn, and everybody who was inside looked out of the windows at it."


def squeeze(text: str) -> str:
    return re.sub(r"\s+", "", text)


def sentences(text: str, language: str, limit: int = 0) -> list[str]:
    return [text[start:end] for start, end in split_sentences(text, language, limit)]


def test_sentences_end_where_a_reader_ends_them() -> None:
    text = "Mr. Bennet met J. R. R. Dale at St. Paul's. “Go away! I won't.” Then No. 5 left… at 3.30 p.m. sharp?! Yes."
    assert sentences(text, "en") == [
        "Mr. Bennet met J. R. R. Dale at St. Paul's.",
        "“Go away! I won't.”",
        "Then No. 5 left… at 3.30 p.m. sharp?!",
        "Yes.",
    ]


def test_a_title_does_not_end_a_sentence() -> None:
    text = "Charming people, Mr. and Mrs. Weston;--Mrs. Weston is beyond praise. I met the Rev. Philip Elton."
    assert sentences(text, "en") == [text[: text.index(" I met")], "I met the Rev. Philip Elton."]


def test_arabic_initials_do_not_end_a_sentence() -> None:
    text = "قال أ.د. أحمد الشامي إنه جاء. ثم ذهب؟ نعم! وصل د. محمد."
    assert sentences(text, "ar") == ["قال أ.د. أحمد الشامي إنه جاء.", "ثم ذهب؟", "نعم!", "وصل د. محمد."]


def test_characters_beyond_the_first_plane_do_not_shift_sentences() -> None:
    assert sentences("😀 Hi there, you. 😀😀 Go away. 😀", "en") == ["😀 Hi there, you.", "😀😀 Go away. 😀"]


def test_a_short_quote_is_one_chunk_and_a_long_one_is_split_at_its_sentences() -> None:
    quote = "“" + " ".join([LONG] * 3) + "”"
    assert texts(chunk(quote, speaker=FakeSpeaker(max_characters=500))) == [quote]
    endless = "“" + " ".join([LONG] * 40) + "”"
    assert len(endless) > 4_000
    parts = texts(chunk(endless))
    assert parts == ["“" + LONG, *[LONG] * 38, LONG + "”"]


def test_a_chunk_is_a_sentence_and_short_ones_are_joined_within_their_block() -> None:
    rows = chunk(f"{LONG} No. Never! {LONG} Well.", f"Oh. {LONG}", "Yes.")
    assert texts(rows) == [LONG, f"No. Never! {LONG} Well.", f"Oh. {LONG}", "Yes."]
    assert [len(json.loads(row.sentences)) for row in rows] == [1, 4, 2, 1]
    assert [row.block for row in rows] == [0, 0, 1, 2]
    start, end = json.loads(rows[1].sentences)[2]
    assert rows[1].text[start:end] == LONG


def test_too_long_sentences_are_split_at_clauses_then_between_words_then_anywhere() -> None:
    text = "She had waited, in the rain, for him; he was late, and went away again without a word."
    parts = texts(chunk(text, speaker=FakeSpeaker(max_characters=60), join_characters=0))
    assert parts == ["She had waited, in the rain, for him;", "he was late, and went away again without a word."]
    rows = chunk(text.replace(";", ""), speaker=FakeSpeaker(max_characters=60), join_characters=0)
    assert texts(rows) == ["She had waited, in the rain, for him he was late,", "and went away again without a word."]
    assert [row.pause_after for row in rows] == ["clause", "chapter"]
    words = "word " * 30 + "end"
    assert all(len(part) <= 40 for part in texts(chunk(words, speaker=FakeSpeaker(max_characters=40))))
    assert squeeze("".join(texts(chunk(words, speaker=FakeSpeaker(max_characters=40))))) == squeeze(words)
    text = "x" * 50
    assert [end - start for start, end in split_long(text, 0, 50, 20)] == [20, 20, 10]


def test_arabic_clauses_are_boundaries() -> None:
    text = "ذهب الرجل إلى السوق القريب من بيته؛ ثم عاد إلى أهله، وكان قد اشترى ما يحتاجون إليه من الطعام"
    parts = texts(chunk(text, speaker=FakeSpeaker(languages=("ar",), max_characters=60), language="ar"))
    assert parts == ["ذهب الرجل إلى السوق القريب من بيته؛", text.split("؛ ")[1]]


def test_the_limit_is_the_engines_and_a_smaller_one_of_the_settings() -> None:
    text = " ".join(f"{LONG[:-1]}; " for _ in range(8))
    assert max(map(len, texts(chunk(text)))) <= 400
    assert max(map(len, texts(chunk(text, max_characters=120)))) <= 120
    assert max(map(len, texts(chunk(text, max_characters=9_000)))) <= 400


def test_the_spoken_text_is_within_the_limit_as_well() -> None:
    text = "They paid " + ", ".join(f"${number},457.35" for number in range(10, 30)) + " in all."
    rows = chunk(text, max_characters=200)
    assert squeeze("".join(texts(rows))) == squeeze(text)
    assert max(len(row.spoken_text) for row in rows) <= 200
    rows = chunk("Call 123456789012345678901234567890 now.", max_characters=60)
    assert [row.spoken_text for row in rows] == ["Call", "123456789012345678901234567890", "now."]
    assert rows[1].message == (
        f"spoken as it is written: in words it has {len(' '.join(spoken_forms(rows[1].text)))} characters, and at most "
        "60 are spoken"
    )


def test_pauses_follow_from_what_comes_next() -> None:
    book = make_book(
        [
            Block("CHAPTER I", "heading"),
            f"{LONG} {LONG}",
            Block("Later, much later, somebody came.", scene_break_before=True),
            Block("***", skipped="ornament"),
            "The end of it, and of everything.",
        ],
        ["x " * 250],
    )
    rows = make_rows(book, AudiobookSettings(), FakeSpeaker(), Lexicon())
    found = [(row.chunk_id, row.pause_after) for row in rows if row.is_spoken]
    assert found == [
        ("001-0001", "heading"),
        ("001-0002", "sentence"),
        ("001-0003", "scene"),
        ("001-0004", "paragraph"),
        ("001-0005", "chapter"),
        ("002-0001", "clause"),
        ("002-0002", "chapter"),
    ]


def test_a_scene_break_on_a_block_that_is_not_spoken_counts_before_the_next_one() -> None:
    skipped = Block("* * *", skipped="ornament", scene_break_before=True)
    assert [row.pause_after for row in chunk("One went.", skipped, "Two came.") if row.is_spoken] == [
        "scene",
        "chapter",
    ]


def test_an_edit_changes_only_the_chunks_near_it() -> None:
    blocks = [
        " ".join(f"This is sentence {word} of paragraph {block}, which is long enough." for word in "abc")
        for block in "xyz"
    ]
    before = chunk(*blocks)
    blocks[1] = blocks[1].replace("sentence b", "phrase b")
    after = chunk(*blocks)
    changed = [index for index, (old, new) in enumerate(zip(before, after, strict=True)) if old != new]
    assert changed == [4]


PIECES = st.one_of(
    st.sampled_from(
        ["Mr. ", "e.g. ", "“", "”", "\n", " — ", "...", "! ", ", ", "; ", "£5 10s. ", "12 March 1813", " IV ",
         "[A](/b/)", "[Ann]: ", "عربي ", "أ.د. ", "x" * 70, "😀", "e\u0301", "\u00ad", "½", " km ", "4 000 ", "ﬁ",
         "***", "1935 م"]
    ),
    st.text(max_size=12),
    st.from_regex(r"[A-Za-z]{1,9} ", fullmatch=True),
)  # fmt: skip
TEXTS = st.lists(PIECES, max_size=25).map("".join)


@settings(max_examples=150, deadline=None)
@given(
    st.lists(TEXTS, min_size=1, max_size=4), st.sampled_from(["en", "ar", "de", "zh"]), st.sampled_from([20, 60, 400])
)
def test_every_character_is_in_one_row(blocks: list[str], language: str, limit: int) -> None:
    voices = {name: "high" for block in blocks for name in re.findall(r"\[([^\[\]\n]+)\]", block)}
    voices = {" ".join(name.split()): voice for name, voice in voices.items()}
    speaker = FakeSpeaker((language,) if language != "de" else (), limit)
    book = make_book([Block(block) for block in blocks], language=language)
    rows = make_rows(book, AudiobookSettings(voices=voices), speaker, Lexicon())
    outcome = text_adds_up(manifest_of(book, rows))
    assert outcome.passed, outcome.message
    for index, block in enumerate(blocks):
        assert squeeze("".join(row.text for row in rows if row.block == index)) == squeeze(block)
    for row in rows:
        assert len(row.text) <= limit or not row.is_spoken
        assert any(map(str.isalnum, row.spoken_text)) == row.is_spoken
        assert "](" not in row.spoken_text
    assert rows == make_rows(book, AudiobookSettings(voices=voices), speaker, Lexicon())


@pytest.mark.parametrize("text", ["", "   ", "\n"])
def test_empty_blocks_have_no_rows(text: str) -> None:
    assert not chunk(text)


def test_a_title_that_begins_the_first_paragraph_is_not_added() -> None:
    def titled(text: str) -> list[str]:
        chapter = Chapter("Chapter 2", (Block(text),))
        rows = make_rows(Book("The Book", (chapter,), 0), AudiobookSettings(), FakeSpeaker(), Lexicon())
        return [row.kind for row in rows]

    assert titled("Chapter 2: the sea was calm.") == ["paragraph"]
    assert titled("The sea was calm.") == ["title", "paragraph"]


@pytest.mark.parametrize(
    ("title", "headings", "is_added"),
    [
        ("I", ["In the Beginning"], True),
        ("Art", ["The Start"], True),
        ("1", ["12"], True),
        ("V", ["Victory"], True),
        ("الباب", ["البابان"], True),
        ("I", ["CHAPTER I. In the Beginning"], False),
        ("Chapter 21: The Sea", ["Twenty-One", "THE SEA"], False),
        ("Chapter 1. Down the Rabbit Hole", ["CHAPTER I", "Down the Rabbit-Hole"], False),
        ("Don’t Go", ["Don't Go"], False),
        ("The Sea", ["TheSea"], False),
        ("الفصل الأول", ["الفَصْلُ الأول", "البحر"], False),
    ],
)
def test_a_title_is_added_unless_the_headings_have_its_words(title: str, headings: list[str], is_added: bool) -> None:
    chapter = Chapter(title, (*(Block(text, "heading") for text in headings), Block("Text.")))
    rows = make_rows(Book("The Book", (chapter,), 0), AudiobookSettings(), FakeSpeaker(), Lexicon())
    assert (rows[0].kind == "title") == is_added


@pytest.mark.parametrize(
    ("text", "language"),
    [("See Vol. II, ch. iii, and apt. #4 of it.", "en"), ("Add 2 tsp. of salt to it.", "en"),
     ("It cost £5 10s. 6d. in all.", "en"), ("The MSS. were found.", "en"),
     ("دفع ٥٠٠ ر.س. إلى د. أحمد وم. علي اليوم", "ar")],
)  # fmt: skip
def test_abbreviations_end_no_sentence(text: str, language: str) -> None:
    assert [text[start:end] for start, end in split_sentences(text, language)] == [text]


def test_a_stop_before_a_capital_ends_a_sentence() -> None:
    text = "Ten came. I am in vol. You see. Well... he left."
    assert [text[start:end] for start, end in split_sentences(text, "en")] == [
        "Ten came.", "I am in vol.", "You see.", "Well... he left."
    ]  # fmt: skip
