"""`[Name]: …` gives a block or line the name's voice; a name without a voice is an error."""

import pytest

from voice_assets_tests.core.audiobook.text.conftest import chunk
from voice_core.audiobook.model import Block, BookError

VOICES = {"Ann Dale": "high", "بدر": "low"}


def said(*blocks: Block | str) -> list[tuple[str, str, str]]:
    """Speaker, voice and text of each row."""
    rows = chunk(*blocks, voices=VOICES, voice="default")
    return [(row.speaker, row.voice, row.text) for row in rows]


def test_a_tag_holds_for_its_block() -> None:
    assert said("[Ann  Dale]: Come in. Sit down, please, and have some of the tea.", "She did not.", "[بدر]:Yes.") == [
        ("Ann Dale", "", "[Ann  Dale]:"),
        ("Ann Dale", "high", "Come in. Sit down, please, and have some of the tea."),
        ("", "default", "She did not."),
        ("بدر", "", "[بدر]:"),
        ("بدر", "low", "Yes."),
    ]


def test_the_tag_is_a_skipped_row() -> None:
    rows = chunk("[Ann Dale]: Come in.", voices=VOICES)
    assert [(row.skipped, row.chunk_id) for row in rows] == [("speaker_tag", ""), ("", "001-0001")]
    assert [row.text for row in chunk("[Ann Dale]:", "Hm.", voices=VOICES)] == ["[Ann Dale]:", "Hm."]


def test_each_line_may_have_its_tag() -> None:
    assert [row[::2] for row in said("It began.\n[Ann Dale]: Yes.\n[بدر]: No.")] == [
        ("", "It began."), ("Ann Dale", "[Ann Dale]:"), ("Ann Dale", "Yes."), ("بدر", "[بدر]:"), ("بدر", "No."),
    ]  # fmt: skip


def test_lines_that_were_joined_to_a_paragraph_keep_their_speakers() -> None:
    assert [row[0] for row in said("[Ann Dale]: Yes. [بدر]: No.")] == ["Ann Dale", "Ann Dale", "بدر", "بدر"]


@pytest.mark.parametrize(
    "text", ["[1]: a note.", "He wrote [sic]: and left.", "[Ann Dale] came.", "See [Ann]://x", "One. [Editor]: Two."]
)
def test_other_brackets_are_text(text: str) -> None:
    assert [row.text for row in chunk(text, voices=VOICES)] == [text]


def test_unknown_names_are_one_error_with_counts() -> None:
    blocks = ["[Bob]: One.", "[Eve]: Two.", "[Bob]: Three.", "[Ann Dale]: Four.", Block("[Zoe]: Five.", skipped="note")]
    with pytest.raises(BookError) as caught:
        chunk(*blocks, voices=VOICES)
    assert str(caught.value) == (
        "The Book: no voice is set for Bob (2 lines), Eve (1 line); names with a voice: Ann Dale, بدر. Set the voice "
        'of each name in VOICE_AUDIOBOOK__VOICES, such as {"Name": "heart"}'
    )
    with pytest.raises(BookError, match="names with a voice: none"):
        chunk("[Bob]: One.")


def test_pictures_and_notes_are_no_speakers() -> None:
    rows = chunk("[Illustration: a ship]: a caption.", "[Footnote 1]: a note.")
    assert {row.speaker for row in rows} == {""}
