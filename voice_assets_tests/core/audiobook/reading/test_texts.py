"""Plain text: paragraphs out of hard-wrapped lines, verse, headings, markers, changes of scene."""

import textwrap

import pytest

from voice_assets_tests.core.audiobook.reading.helpers import all_blocks, chapters, read_text, skipped, spoken
from voice_core.audiobook.model import BookError
from voice_core.audiobook.reading import read_book
from voice_core.settings.audiobook import AudiobookSettings

PROSE = [
    "It was the best of rooms, it was the worst of rooms, and nobody who went into it could say afterwards what it was "
    "that had made the days so long and the evenings so short.",
    "“You are late,” she said, and looked at the clock, which had stopped at a quarter past four on the day "
    "before, when the carriage had come up the hill.",
    "He did not answer.",
]


@pytest.mark.parametrize("width", [40, 65, 72, 100])
def test_hard_wrapped_lines_are_joined(width: int) -> None:
    wrapped = [textwrap.fill(text, width) for text in PROSE]
    assert spoken(read_text("\n\n".join(wrapped))) == PROSE
    assert spoken(read_text("\r\n\r\n".join(text.replace("\n", "\r\n") for text in wrapped))) == PROSE


def test_paragraphs_may_begin_with_an_indent_or_after_a_short_line() -> None:
    indented = "\n".join(textwrap.fill(text, 65, initial_indent="    ") for text in PROSE)
    assert spoken(read_text(indented)) == PROSE
    unmarked = "\n".join(textwrap.fill(text, 65) for text in PROSE)
    assert spoken(read_text(unmarked)) == PROSE


def test_lines_that_are_not_wrapped_are_paragraphs() -> None:
    assert spoken(read_text("\n".join(PROSE))) == PROSE


def test_verse_keeps_its_lines() -> None:
    verse = (
        "  The sun had set behind the hill,\n    And all the birds were gone,\n  The water in the pond was still,\n"
        "    The lamp was lit"
    )
    book = read_text("\n\n".join([textwrap.fill(PROSE[0], 65), verse, textwrap.fill(PROSE[1], 65)]))
    assert spoken(book)[1] == "\n".join(line.strip() for line in verse.split("\n"))
    assert [block.kind for block in all_blocks(book)] == ["paragraph", "verse", "paragraph"]


def test_words_are_joined_at_the_ends_of_lines() -> None:
    lines = [
        "A conversation in the room was held by well-known",
        "people of the town and the country, and the con-",
        "versation was of the sort for which they are well-",
        "known in all the houses, as they said themselves--",
        "or so it seems.",
    ]
    book = read_text("\n".join(lines))
    assert spoken(book) == [
        "A conversation in the room was held by well-known people of the town and the country, and the conversation "
        "was of the sort for which they are well-known in all the houses, as they said themselves--or so it seems."
    ]
    assert skipped(book) == {"hyphenation": ["-"]}


def test_emphasis_and_page_numbers_are_not_spoken() -> None:
    book = read_text("It was _very_ late [Pg 12] in snake_case.")
    assert spoken(book) == ["It was very late in snake_case."]
    assert skipped(book) == {"markup": ["_", "_"], "page_number": ["[Pg 12]"]}


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("CHAPTER I", "CHAPTER II"),
        ("Chapter 1: The Sea", "Chapter 2: The Shore"),
        ("CHAPTER THE FIRST", "CHAPTER THE SECOND"),
        ("Chapter Twenty-One", "Chapter Twenty-Two"),
        ("الفصل الأول", "الفصل الثاني"),
        ("الفصل ١: البحر", "الفصل ٢: البر"),
        ("الفصل الحادي عشر", "الفصل الثاني عشر"),
        ("Prologue", "Chapter 1"),
        ("PART ONE", "CHAPTER I. THE SEA"),
    ],
)
def test_headings_are_chapters(first: str, second: str) -> None:
    book = read_text(f"{first}\n\nSome text is here.\n\n\n{second}\n\nMore text is here.")
    assert chapters(book) == {first: [first, "Some text is here."], second: [second, "More text is here."]}
    assert [block.kind for block in all_blocks(book)] == ["heading", "paragraph"] * 2


def test_a_title_below_the_number_belongs_to_the_chapter() -> None:
    for text in ("CHAPTER I\nDown the Hole\n\nIt was dark.", "CHAPTER I.\n\nDown the Hole\n\nIt was dark."):
        book = read_text(text)
        assert [chapter.title for chapter in book.chapters] == ["CHAPTER I. Down the Hole"]
        assert [block.kind for block in all_blocks(book)] == ["heading", "heading", "paragraph"]


def test_text_that_only_looks_like_a_heading_is_text() -> None:
    text = "Chapter 4 was the worst of all of them, said the man.\n\nPart of it was lost."
    assert [chapter.title for chapter in read_text(text).chapters] == ["a"]


@pytest.mark.parametrize(
    ("listed", "titles"),
    [
        (
            ["CONTENTS", "", "  CHAPTER I. The Sea", "  CHAPTER II. The Shore", "  CHAPTER III. The End"],
            ["CHAPTER I. The Sea"],
        ),
        (["CHAPTER I. The Sea", "", "CHAPTER II. The Shore", "", "CHAPTER III. The End"], ["CHAPTER I. The Sea"]),
        (["PART ONE", "CHAPTER I", "CHAPTER II", "CHAPTER III"], ["PART ONE", "CHAPTER I"]),
        (["CHAPTER I .... 3", "CHAPTER II .... 15", "CHAPTER III .... 30"], ["CHAPTER I"]),
    ],
)
def test_a_list_of_chapters_is_not_spoken(listed: list[str], titles: list[str]) -> None:
    for lines in (listed, [line for line in listed if line]):
        book = read_text("\n".join([*lines, "", "", *titles, "", "Text.", "", "CHAPTER II", "", "More."]))
        assert list(chapters(book)) == [*titles, "CHAPTER II"]
        assert skipped(book) == {"contents": [line.strip() for line in listed if line]}


def test_headings_without_blank_lines_around_them() -> None:
    wrapped = "\n".join(textwrap.fill(text, 65) for text in PROSE)
    book = read_text(f"VOLUME I\nCHAPTER I\n{wrapped}\nCHAPTER II\n{wrapped}")
    assert chapters(book) == {
        "VOLUME I": ["VOLUME I"], "CHAPTER I": ["CHAPTER I", *PROSE], "CHAPTER II": ["CHAPTER II", *PROSE]
    }  # fmt: skip


def test_markers_win_over_headings() -> None:
    book = read_text("Before.\n<<CHAPTER_MARKER:One>>\nCHAPTER I\n\nText. <<CHAPTER_MARKER: Two >> More.")
    assert chapters(book) == {"a": ["Before."], "One": ["CHAPTER I", "Text."], "Two": ["More."]}
    assert skipped(book) == {"chapter_marker": ["<<CHAPTER_MARKER:One>>", "<<CHAPTER_MARKER: Two >>"]}


@pytest.mark.parametrize("between", ["* * *", "***", "#", "⁂", "---", "\n\n"])
def test_changes_of_scene(between: str) -> None:
    book = read_text(f"First text.\n\nSecond text.\n\n{between}\n\nThird text.\n\nFourth text.")
    assert [block.text for block in all_blocks(book) if block.scene_break_before] == ["Third text."]


def test_the_licence_of_project_gutenberg_is_front_and_back_matter() -> None:
    text = (
        "The Project Gutenberg eBook\n\nTitle: Emma\n\nAuthor: Jane Austen\n\n*** START OF THE PROJECT GUTENBERG EBOOK "
        "EMMA ***\n\nCHAPTER I\n\nText.\n\n*** END OF THE PROJECT GUTENBERG EBOOK EMMA ***\n\nLicence."
    )
    book = read_text(text)
    assert (book.title, book.authors) == ("Emma", ("Jane Austen",))
    assert spoken(book) == ["CHAPTER I", "Text."]
    assert set(skipped(book)) == {"front_matter", "back_matter"}


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "cp1256"])
def test_arabic_text_in_any_encoding(encoding: str) -> None:
    text = "الفصل الأول\n\nقال الرجل: «تعال إلى هنا». ثم ذهب إلى البحر.\n"
    book = read_book(text.encode(encoding), "a.txt", AudiobookSettings())
    assert spoken(book) == ["الفصل الأول", "قال الرجل: «تعال إلى هنا». ثم ذهب إلى البحر."]
    assert book.language == "ar"
    assert book.adds_up
    assert bool(book.warnings) == (encoding == "cp1256")


@pytest.mark.parametrize("text", ["It’s short.", "Voilà l’été — “ça va”, naïve café."])
def test_western_text_of_windows(text: str) -> None:
    book = read_book(text.encode("cp1252"), "a.txt", AudiobookSettings())
    assert spoken(book) == [text]
    assert "a.txt: the encoding is taken to be cp1252 (it does not say)" in book.warnings


def test_places_are_lines() -> None:
    assert [block.place for block in all_blocks(read_text("One.\n\n\nTwo.\n\nThree."))] == [
        "line 1",
        "line 4",
        "line 6",
    ]


def test_the_speaker_of_a_line_stays_in_the_text() -> None:
    assert spoken(read_text("[Anna]: Hello.\n[Ben]: Hi.")) == ["[Anna]: Hello.", "[Ben]: Hi."]


@pytest.mark.parametrize(
    ("data", "reason"),
    [(b"%PDF-1.7 x", "a PDF"), (b"\0\1\2\3" * 100, "neither text"), (b" \n\n", "is empty"), (b"\x1f\x8b\x08", "gzip")],
)
def test_what_is_not_text_is_an_error(data: bytes, reason: str) -> None:
    with pytest.raises(BookError, match=f"shelf/a.txt: .*{reason}"):
        read_book(data, "shelf/a.txt", AudiobookSettings())


PAGE = "It was a dark night, so dark that nobody could see a hand before his face, and the wind howled. " * 4


@pytest.mark.parametrize("heading", ["CONTENTS", "DEDICATION", "NOTES", "COPYRIGHT"])
def test_a_heading_of_front_matter_does_not_swallow_the_book(heading: str) -> None:
    book = read_text(f"{heading}\n\nI. The Storm\n\nII. The Calm\n\nThe Storm\n\n{PAGE}\n\nThe Calm\n\n{PAGE}")
    assert [text for text in spoken(book) if text == PAGE.strip()] == [PAGE.strip()] * 2
    assert spoken(book).count("The Storm") == 1 or heading != "CONTENTS"


def test_numerals_on_their_own_are_chapters() -> None:
    contents = "CONTENTS\n\n I. The Storm\n II. The Calm"
    book = read_text(f"{contents}\n\nI\n\nThe Storm\n\n{PAGE}\n\nII\n\nThe Calm\n\n{PAGE}")
    assert list(chapters(book)) == ["I. The Storm", "II. The Calm"]
    parts = read_text(f"CHAPTER I\n\nI\n\n{PAGE}\n\nII\n\n{PAGE}\n\nCHAPTER II\n\n{PAGE}")
    assert list(chapters(parts)) == ["CHAPTER I", "CHAPTER II"]
    assert list(chapters(read_text(f"V\n\n{PAGE}\n\nI\n\n{PAGE}"))) == ["a"]


BRACKETED = (
    "The wind[1] howled round the house.\n\n[Illustration]\n\n[Illustration: The house, as it\nwas in 1890]\n\n"
    "[Footnote 1: The wind of the north.\n\nIt is cold.]\n\n[Transcriber's Note: torn.]\n\n"
    "It was night.¹ She slept[2].\n\n[2] Sorry indeed. [3] is none."
)


def test_notes_and_pictures_in_brackets() -> None:
    book = read_text(BRACKETED)
    assert spoken(book) == [
        "The wind howled round the house.", "The house, as it was in 1890", "It was night. She slept."
    ]  # fmt: skip
    left_out = skipped(book)
    assert left_out["note_mark"] == ["[1]", "¹", "[2]"]
    assert left_out["note"] == [
        "The wind of the north.", "It is cold.", "[Transcriber's Note: torn.]", "Sorry indeed. [3] is none."
    ]  # fmt: skip


def test_notes_in_brackets_are_spoken_or_moved() -> None:
    said = spoken(read_text(BRACKETED, notes="speak"))
    assert said[2:4] == ["The wind of the north.", "It is cold."]
    moved = spoken(read_text(BRACKETED, notes="move"))
    assert moved[-3:] == ["The wind of the north.", "It is cold.", "Sorry indeed. [3] is none."]
    assert "The house, as it was in 1890" not in spoken(read_text(BRACKETED, captions="skip"))


def test_a_number_in_brackets_without_a_note_stays() -> None:
    assert spoken(read_text("See [1] and 10 km² here.")) == ["See [1] and 10 km² here."]


def test_pictures_inside_of_a_paragraph() -> None:
    text = "The ship [Illustration] was old. [Illustration: The mast.] It sailed [Illustration: A sail], far."
    book = read_text(text)
    assert spoken(book) == ["The ship was old. The mast. It sailed A sail, far."]
    assert skipped(book)["picture"] == ["[Illustration]"]
    assert spoken(read_text(text, captions="skip")) == ["The ship was old. It sailed, far."]


def test_notes_in_arabic_figures_and_their_heading() -> None:
    text = "قال الرجل (١): «تعال». ثم ذهب.\n\nفي البيت (٢) شيئان.\n\n(١) هو زيد.\n\n(٣) وهذا نص."
    book = read_text(text)
    assert spoken(book) == ["قال الرجل: «تعال». ثم ذهب.", "في البيت (٢) شيئان.", "(٣) وهذا نص."]
    page = "It was so late that nobody was there.[1]\n\n{}:\n\n[1] Indeed.\n\n"
    for heading in ("FOOTNOTES", "Foot-notes"):
        book = read_text("".join(f"CHAPTER {i}\n\n{page.format(heading)}" for i in ("I", "II", "III")))
        assert len(spoken(book)) == 6


def test_signs_around_bold_words_are_not_spoken() -> None:
    assert spoken(read_text("He was =very _bold_= here, and x = 5, y=3, a ==b== c.")) == [
        "He was very bold here, and x = 5, y=3, a ==b== c."
    ]


def test_the_credits_of_project_gutenberg_are_front_matter() -> None:
    start = "*** START OF THE PROJECT GUTENBERG EBOOK EMMA ***"
    text = f"Title: Emma\n\n{start}\n\nProduced by An Other and\nthe team.\n\nCHAPTER I\n\nProduced by him."
    assert spoken(read_text(text)) == ["CHAPTER I", "Produced by him."]


def test_numbers_beside_form_feeds_are_those_of_pages() -> None:
    book = read_text("It was late.\n\n12\n\x0c\nThe house\n\n- 13 -\n\n\x0c14\n\nwas dark.\n\n15\n\nIt was.")
    assert spoken(book) == ["It was late.", "The house", "was dark.", "15", "It was."]
    assert skipped(book) == {"page_number": ["12", "- 13 -", "14"]}


def test_what_is_taken_out_of_a_text_is_listed_though_nothing_is_left() -> None:
    text = "It was.[1] So.\n\n²\n\n[Illustration] [Illustration: A]\n\n[Footnote 1: It was\n\n]\n\n[Footnote 2:]"
    book = read_text(text, captions="skip")
    assert spoken(book) == ["It was. So.", "[Footnote 2:]"]
    assert skipped(book)["note_mark"] == ["[1]", "²"]
