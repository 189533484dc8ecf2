"""What the engine gets: numbers, abbreviations and signs in words, with a map back to the book's words."""

import json
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn

from voice_assets_tests.core.audiobook.text.conftest import ANY_LANGUAGE, FakeSpeaker, chunk, make_book, spoken
from voice_assets_tests.core.audiobook.text.test_chunks import TEXTS
from voice_core.audiobook.chunk_manifest import ChunkRow
from voice_core.audiobook.model import Block
from voice_core.audiobook.text import make_rows, map_words, parse_lexicon, split_spoken_text, spoken_characters
from voice_core.audiobook.text.edits import find_map_problem
from voice_core.audiobook.text.lexicon import Lexicon
from voice_core.recognition.text_words import split_words
from voice_core.recognition.word_times import Word
from voice_core.settings.audiobook import AudiobookSettings


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("It is 40 km to St. Paul's.", "It is forty kilometers to Saint Paul's."),
        ("See § 4 and pp. 3-5, vol. ii.", "See section four and pages three to five, volume two."),
        ("He paid $1,250.50, i.e. 5 % of it.", "He paid one thousand two hundred fifty dollars and fifty cents, "
         "that is five percent of it."),
        ("On 12 March 1813 Mr. Dale left.", "On the twelfth of March eighteen thirteen Mister Dale left."),
        ("It was 1984 then.", "It was nineteen eighty four then."),
        ("In the 1820s it was £5 10s. 6d.", "In the eighteen twenties it was five pounds ten shillings six pence."),
        ("There were 4 000 men.", "There were four thousand men."),
        ("Henry VIII met Louis XIV in Chapter IV.", "Henry the eighth met Louis the fourteenth in Chapter four."),
        ("Henry I never saw; I had a mix of V.", "Henry I never saw; I had a mix of V."),
        ("Brown & Sons, etc.", "Brown and Sons, et cetera."),
        ("To Dr. and Mrs. Hughes, Ms. Dale, &c. again.", "To Doctor and Missus Hughes, Ms Dale, et cetera again."),
        ("See Section C, Part II and part I of it.", "See Section C, Part two and part one of it."),
        ("Nos. 3 and 4 cost 2s. 6d.", "Numbers three and four cost two shillings six pence."),
        ("He is 5'6\" tall.", "He is five feet six inches tall."),
        ("I.e. Nos and their friend.", "That is Nos and their friend."),
        ("A woman of 10,000 l. or so.", "A woman of ten thousand pounds or so."),
        ("The U.S.A. by 7 p.m.", "The U.S.A. by seven P.M."),
        ("The ﬁrst cafe\u0301.", "The first café."),
        ("He paused--then ran -- and said--", "He paused—then ran -- and said—"),
        ("I love it ❤️ 😀!", "I love it heart️ grinning face!"),
        ("x² ≤ 10⁶ and ∞ of CO₂.", "x squared is at most ten to the power of six and infinity of C O two."),
        ("Five stars ★★★ • and → more $, €.", "Five stars ★★★ • and to more dollars, euros."),
        ("It cost €5, 5 € or $5.", "It cost five euros, five euros or five dollars."),
        ("The cat sat. There were 12 in the sun. So.", "The cat sat. There were twelve in the sun. So."),
        ("There were 3 in 1914, and 4 in all.", "There were three in nineteen fourteen, and four in all."),
        ("It is 12 in long and 5 ft 3 in tall.", "It is twelve inches long and five feet three inches tall."),
        ("At 11.30 a.m. or 9.15 at night.", "At eleven thirty a.m. or nine point one five at night."),
        ("It was 4 A. M. in block 5 C.", "It was four A. M. in block five C."),
        ("A fee of $5m, £3bn and 10¢.", "A fee of five million dollars, three billion pounds and ten cents."),
        ("Open 24/7, split 50/50.", "Open twenty four seven, split fifty fifty."),
        ("In the XIXth century.", "In the nineteenth century."),
        ("A bill of 3s. and of 4s. 2d. a day.", "A bill of three shillings and of four shillings two pence a day."),
        ("Mme. de Staël, Wm. Pitt and Thos. Hardy.", "Madame de Staël, William Pitt and Thomas Hardy."),
        ("Nothing to say in other words, “quite”.", "Nothing to say in other words, “quite”."),
    ],
)  # fmt: skip
def test_english_is_spoken_in_words(text: str, expected: str) -> None:
    (row,) = chunk(text)
    assert (row.text, row.spoken_text) == (text, expected)
    assert find_map_problem(row.text, row.spoken_text, json.loads(row.text_map)) == ""


@pytest.mark.parametrize(("text", "expected"), [("IV", "four"), ("II.", "two."), ("I", "I"), ("MIX", "MIX")])
def test_a_paragraph_of_a_roman_numeral_is_a_number(text: str, expected: str) -> None:
    assert spoken(chunk(text)) == [expected]


def test_an_amount_of_very_many_digits_is_spoken() -> None:
    (row,) = chunk(f"It cost ${'9' * 50} in all.")
    assert row.is_spoken


@pytest.mark.parametrize(
    ("text", "expected"),
    [("IV", "four"), ("IV. The Storm", "four. The Storm"), ("I", "one"), ("CHAPTER XII", "CHAPTER twelve"),
     ("I Am Legend", "I Am Legend"), ("MIX", "MIX"), ("Civil War", "Civil War")],
)  # fmt: skip
def test_roman_numerals_of_headings(text: str, expected: str) -> None:
    assert spoken(chunk(Block(text, "heading"))) == [expected]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("وصل في عام 1935 م مع أهله.", "وصل في عام ألف وتسعمئة وخمسة وثلاثون ميلادية مع أهله."),
        ("ولد سنة ١٩٣٥م.", "ولد سنة ألف وتسعمئة وخمسة وثلاثون ميلادية."),
        ("مشى 10 م ثم 5 كم.", "مشى عشرة متر ثم خمسة كيلومتر."),
        ("قال أ.د. أحمد نعم.", "قال الأستاذ الدكتور أحمد نعم."),
        ("نسبة 50% و٢٥٪ منها.", "نسبة خمسون بالمئة وخمسة وعشرون بالمئة منها."),
        ("قرأ ١٢ كتابا و٢ كتب و١٠٠ قصة.", "قرأ اثنا عشر كتابا واثنان كتب ومئة قصة."),
        ("وصل و11:30 صباحا.", "وصل والحادية عشرة والنصف صباحا."),
        (
            "كتـــاب من H2O في -5° و٣٫١٤ مع ﷺ.",
            "كتاب من H2O في سالب خمسة درجة وثلاثة فاصلة أربعة عشر مع صلى الله عليه وسلم.",
        ),
        ("سنة ١٤٤٥هـ والـ3 و½ كوب.", "سنة ألف وأربعمئة وخمسة وأربعون هجرية والـثلاثة ونصف كوب."),
        ("دفع 47% منها.", "دفع سبعة وأربعون بالمئة منها."),
    ],
)
def test_arabic_is_spoken_in_words(text: str, expected: str) -> None:
    (row,) = chunk(text, speaker=FakeSpeaker(("ar",)), language="ar")
    assert (row.text, row.spoken_text) == (text, expected)


def test_other_languages_are_unchanged_and_their_numbers_are_named() -> None:
    (row,) = chunk("Es waren 40 km im Jahr 1813.", speaker=ANY_LANGUAGE, language="de")
    assert row.spoken_text == row.text
    assert row.message == "numbers are left to the engine: 40, 1813."


def test_brackets_of_the_book_are_no_phonemes() -> None:
    g2p = pytest.importorskip("hibari.g2p").G2P()
    (row,) = chunk("[Contents](/toc/) and [more](x).")
    assert row.spoken_text == "[Contents] (/toc/) and [more] (x)."
    assert "kˈɑntˈɛnts" in g2p(row.spoken_text)
    assert "kˈɑntˈɛnts" not in g2p(row.text)
    (row,) = chunk("[Contents](/toc/)" + "1" * 30, max_characters=60)
    assert (row.spoken_text, row.message[:24]) == ("[Contents] (/toc/)" + "1" * 30, "spoken as it is written:")
    (row,) = chunk("[Contents](/toc/)", speaker=FakeSpeaker(inline_phonemes=False))
    assert row.spoken_text == row.text


def test_lines_of_verse_are_spoken_without_line_ends() -> None:
    (row,) = chunk(Block("Tyger, tyger\nburning bright", "verse"))
    assert (row.text, row.spoken_text) == ("Tyger, tyger\nburning bright", "Tyger, tyger burning bright")


def times(texts: list[str]) -> list[Word]:
    return [Word(text, 0.5 * number, 0.5 * number + 0.4) for number, text in enumerate(texts)]


def test_the_books_words_get_the_times_of_what_is_spoken() -> None:
    (row,) = chunk("Mr. Dale paid $12.50 on 3 May.")
    words = times(split_spoken_text(row))
    assert [word.text for word in words] == (
        ["Mister", "Dale", "paid", "twelve", "dollars", "and", "fifty", "cents", "on", "the", "third", "of", "May."]
    )
    found = map_words(row, words)
    assert [word.text for word in found] == ["Mr.", "Dale", "paid", "$12.50", "on", "3", "May."]
    assert [(word.start_sec, word.end_sec) for word in found[:5]] == [
        (0, 0.4),
        (0.5, 0.9),
        (1, 1.4),
        (1.5, 3.9),
        (4, 4.4),
    ]
    assert found[5].start_sec == 4.5
    assert (found[6].text, found[6].end_sec) == ("May.", words[-1].end_sec)


def test_words_with_phonemes_are_timed_as_words() -> None:
    lexicon = parse_lexicon(b'[[entry]]\nword = "New Dale"\nphonemes = "nu dAl"', "a.toml")
    (row,) = chunk("At New Dale it rained.", lexicon=lexicon)
    assert row.spoken_text == "At [New Dale](/nu dAl/) it rained."
    assert split_spoken_text(row) == ["At", "New", "Dale", "it", "rained."]
    assert map_words(row, times(split_spoken_text(row))) == tuple(times(["At", "New", "Dale", "it", "rained."]))


def test_other_words_than_the_spoken_ones_are_an_error() -> None:
    (row,) = chunk("He paid $12.")
    with pytest.raises(ValueError, match="chunk 001-0001: 3 words have times, but the spoken text has 4"):
        map_words(row, times(["He", "paid", "$12."]))


@st.composite
def rows_with_times(draw: DrawFn) -> tuple[ChunkRow, list[Word]]:
    text = draw(TEXTS.filter(lambda text: "[Ann]" not in text))
    language = draw(st.sampled_from(["en", "ar"]))
    rows = [row for row in chunk(text, speaker=ANY_LANGUAGE, language=language) if row.is_spoken]
    row = rows[0] if rows else chunk("x")[0]
    words: list[Word] = []
    at = 0.0
    for text in split_spoken_text(row):
        start = at + draw(st.sampled_from([0.0, 0.2]))
        at = round(start + draw(st.sampled_from([0.0001, 0.3])), 4)
        words.append(Word(text, start, at))
    return row, words


@settings(max_examples=100, deadline=None)
@given(rows_with_times())
def test_mapped_words_are_those_of_the_text_in_order_and_within_the_speech(made: tuple[ChunkRow, list[Word]]) -> None:
    row, words = made
    found = map_words(row, words)
    assert [word.text for word in found] == split_words(row.text)
    moments = [moment for word in found for moment in (word.start_sec, word.end_sec)]
    assert moments == sorted(moments)
    if row.text == row.spoken_text:
        assert found == tuple(words)
    if found:
        assert words[0].start_sec <= moments[0] <= moments[-1] <= words[-1].end_sec
        assert (moments[0], moments[-1]) == (words[0].start_sec, words[-1].end_sec)


def test_characters_that_are_heard_by_language() -> None:
    book = make_book(["5 km on.", Block("نعم.", language="ar")])
    rows = make_rows(book, AudiobookSettings(), ANY_LANGUAGE, Lexicon())
    assert spoken_characters(rows) == {"ar": 4, "en": len("fivekilometerson.")}


def test_a_novel_is_chunked_in_a_few_seconds() -> None:
    prose = (
        "“My dear Mr. Bennet,” said his lady to him one day, “have you heard that Netherfield Park is let at last?” "
        "Mr. Bennet replied that he had not. She had been there, and walked the whole way; it was, she said, about "
        "three miles, though others had told her four. “Do not you want to know who has taken it?” cried his wife "
        "impatiently, while the others, who had come in from the garden, sat down and listened to her. "
    )
    chapters = [
        [
            Block(f"CHAPTER {chapter}", "heading"),
            *(
                prose * 2 + (f"It was {chapter} years after 18{line}." if line % 4 == 0 else "")
                for line in range(10, 23)
            ),
        ]
        for chapter in range(1, 66)
    ]
    book = make_book(*chapters)
    assert sum(len(block.text.split()) for block in book.blocks()) > 120_000
    began = time.process_time()
    rows = make_rows(book, AudiobookSettings(), FakeSpeaker(), Lexicon())
    assert time.process_time() - began < 12  # 3 s on a quiet core
    assert len([row for row in rows if row.is_spoken]) > 5_000
