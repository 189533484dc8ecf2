"""Numbers above the line: marks of notes are left out, powers and fractions are spoken."""

import re

import pytest

from voice_assets_tests.core.audiobook.reading.helpers import read_body, read_text, spoken

_POWERS = str.maketrans("⁻¹²³", "-123")


@pytest.mark.parametrize(
    "text",
    [
        "E = mc², he said.",
        "The area is πr² here.",
        "x² + y² = z²",
        "sin²θ",
        "(a + b)² is it.",
        "10⁻³ m",
        "2 in² or 5 m² or 3 ft.² of it",
        "v = at² holds",
        "the kinetic energy ½mv² of it",
        "مساحة ٥ كم² هنا",
        "speed² = 4",
    ],
)
def test_powers_are_spoken(text: str) -> None:
    assert spoken(read_text(text)) == [text]
    raised = re.sub("[⁻²³]+", r"<sup>\g<0></sup>", text).translate(_POWERS)
    assert spoken(read_body(f"<p>{raised}</p>")) == [text]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("He left.²", "He left."),
        ("the king² who", "the king who"),
        ("the king’s² son", "the king’s son"),
        ("Charles I² said", "Charles I said"),
        ("the BBC² said", "the BBC said"),
        ("in 1914² it", "in 1914 it"),
        ("(as he knew)² then", "(as he knew) then"),
        ("“Go!”¹,² he said", "“Go!” he said"),
        ("by² me² to God²", "by me to God"),
        ("¹ In the beginning. ² And the earth", "In the beginning. And the earth"),
        ("قال الملك² هنا", "قال الملك هنا"),
        ("the R&D² of the U.S.A², in the 1920s² and on the 5th²", "the R&D of the U.S.A, in the 1920s and on the 5th"),
        ("He¹ was 25² on page 130¹ of 10² or 25²", "He was 25 on page 130 of 10² or 25"),
    ],
)
def test_numbers_that_no_note_is_linked_to_are_marks(text: str, expected: str) -> None:
    assert spoken(read_text(text)) == [expected]
    raised = re.sub("[¹²,]+", r'<span class="super">\g<0></span>', text).translate(_POWERS)
    assert spoken(read_body(f"<p>{raised}</p>")) == [expected]


def test_letters_and_signs() -> None:
    body = "<p>Words<sup>a</sup> here.<sup>b</sup> c<sup>†</sup> a<sup>*</sup> n<sup>o</sup> 1, XIX<sup>e</sup></p>"
    assert spoken(read_body(body)) == ["Words here. c a* no 1, XIXe"]


def test_marks_side_by_side() -> None:
    assert spoken(read_body("<p>He<sup>1,</sup><sup>2</sup> left<sup>3</sup>,<sup>4</sup>.</p>")) == ["He left."]


def test_fractions_and_isotopes_are_figures() -> None:
    book = read_body("<p>Add 2<sup>1</sup>/<sub>2</sub> cups of <sup>14</sup>C.</p>")
    assert spoken(book) == ["Add 2 1/2 cups of 14C."]


def test_a_power_that_is_linked_is_a_mark() -> None:
    mark, note = '<sup><a href="#n2">2</a></sup>', '<aside epub:type="footnote" id="n2">Note.</aside>'
    assert spoken(read_body(f"<p>E = mc{mark} it is.</p>{note}")) == ["E = mc it is."]


def test_a_note_that_begins_with_a_raised_number_is_the_note_of_its_mark() -> None:
    body = "<p>He left.<sup>1</sup> Then x<sup>2</sup>.</p><p>More.</p>"
    body += "<p><sup>1</sup>Not for long.</p><p><sup>2</sup>Two.</p>"
    assert spoken(read_body(body)) == ["He left. Then x².", "More.", "Two."]
    assert spoken(read_body(body, notes="move")) == ["He left. Then x².", "More.", "Two.", "Not for long."]
