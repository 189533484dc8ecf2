"""Figures, addresses, and words that only look like abbreviations, as a narrator reads them."""

import json

import pytest

from voice_core.audiobook.text.arabic import find_arabic_edits
from voice_core.audiobook.text.edits import Edit, apply_edits, find_map_problem
from voice_core.audiobook.text.english import find_english_edits
from voice_core.audiobook.text.sentences import split_sentences

ENGLISH = {
    "in 1939-45 they": "in nineteen thirty nine to forty five they",
    "from 1998–99": "from nineteen ninety eight to ninety nine",
    "the war of 1914–18": "the war of nineteen fourteen to eighteen",
    "1914–1918": "nineteen fourteen to nineteen eighteen",
    "the years 1805-1815": "the years eighteen oh five to eighteen fifteen",
    "in 1899-1901": "in eighteen ninety nine to nineteen oh one",
    "see Section 3.2.1.": "see Section three point two point one.",
    "the 1990's": "the nineteen nineties",
    "2-3 days": "two to three days",
    "they won 3-1": "they won three to one",
    "Call 555-1234": "Call five five five one two three four",
    "at 42nd St. he stopped": "at forty second Street he stopped",
    "He lives on 42nd St.": "He lives on forty second Street.",
    "the 10,000th visitor": "the ten thousandth visitor",
    "agent 007": "agent zero zero seven",
    "the 1800s": "the eighteen hundreds",
    "wait a sec. I come": "wait a sec. I come",
    "see sec. iv": "see section four",
    "act I scene ii": "act one scene two",
    "mail a.b@c.com": "mail a dot b at c dot com",
    "see www.example.org/a": "see w w w dot example dot org slash a",
}
ARABIC = {
    "الساعة 5 م": "الساعة الخامسة مساء",
    "الساعة ١١ ص": "الساعة الحادية عشرة صباحا",
    "طوله 5 م": "طوله خمسة متر",
    "الفصل 3": "الفصل الثالث",
    "القرن ال19": "القرن التاسع عشر",
    "في القرن 21": "في القرن الحادي والعشرين",
    "من 10-15 يوما": "من عشرة إلى خمسة عشر يوما",
    "٣٫٠٥": "ثلاثة فاصلة صفر خمسة",
    "3.05": "ثلاثة فاصلة صفر خمسة",
    "2024-05-01": "واحد مايو عام ألفان وأربعة وعشرون",
    "3/4": "ثلاثة أرباع",
}
LONG = "9" * 4_400


def say(text: str, edits: list[Edit]) -> str:
    spoken, spans = apply_edits(text, edits)
    assert find_map_problem(text, spoken, json.loads(json.dumps(spans))) == ""
    return spoken


@pytest.mark.parametrize(("text", "spoken"), ENGLISH.items())
def test_english_figures(text: str, spoken: str) -> None:
    assert say(text, find_english_edits(text)) == spoken


@pytest.mark.parametrize(("text", "spoken"), ARABIC.items())
def test_arabic_figures(text: str, spoken: str) -> None:
    assert say(text, find_arabic_edits(text)) == spoken


@pytest.mark.parametrize(
    "text", [LONG, f"{LONG} km", f"${LONG}", f"1/{LONG}", f"chapter {LONG}", ",".join(["999"] * 1_500)]
)
def test_a_number_of_any_length_is_read(text: str) -> None:
    assert "nine nine" in say(text, find_english_edits(text))


@pytest.mark.parametrize("text", [LONG, f"{LONG} م", f"{LONG}٫5", "٬".join(["999"] * 1_500), f"عام {LONG}"])
def test_an_arabic_number_of_any_length_is_read(text: str) -> None:
    assert "تسعة تسعة" in say(text, find_arabic_edits(text))


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("He said no. I left at once.", ["He said no.", "I left at once."]),
        ("Wait a sec. I come.", ["Wait a sec.", "I come."]),
        ("They lived on Main St. He turned left.", ["They lived on Main St.", "He turned left."]),
        ("We met on 42nd St. It rained.", ["We met on 42nd St.", "It rained."]),
        ("It is in St. James St. He knows.", ["It is in St. James St.", "He knows."]),
        ("See St. James. He came.", ["See St. James.", "He came."]),
        ("See no. I of the list.", ["See no. I of the list."]),
        ("Is it no. 5?", ["Is it no. 5?"]),
    ],
)
def test_words_that_look_like_abbreviations_end_sentences(text: str, sentences: list[str]) -> None:
    assert [text[start:end] for start, end in split_sentences(text, "en")] == sentences
