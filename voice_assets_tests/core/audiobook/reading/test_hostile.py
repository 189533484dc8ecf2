"""Documents that are made to take much time are read in a time that grows with their size.

With quadratic time, they would take from many seconds to hours.
"""

import pytest

from voice_core.audiobook.reading import read_book
from voice_core.settings.audiobook import AudiobookSettings

HOSTILE = {
    "document types": ("<!DOCTYPE [" * 100_000 + "<p>Text.</p>", "a.html"),
    "comments that are not closed": ("Text.<!--" * 100_000, "a.html"),
    "character data": ("<p>&" + "<![CDATA[" * 100_000, "a.html"),
    "line breaks": ("<p>" + "<br/>" * 50_000 + "Text.</p>", "a.html"),
    "white space in a link": (f'<p><a href="#n" class="fnref">{" " * 400_000}x</a> Text.</p>', "a.html"),
    "notes with a mark": ("A[x] b.\n\n" + "".join(f"[{i % 1000}] Note.\n\n" for i in range(10_000)), "a.txt"),
    "chapter markers": ("<<CHAPTER_MARKER:" * 60_000, "a.txt"),
    "lists of chapters": ("".join(f"Chapter {i}\n" for i in range(9_999)) + "\nText.", "a.txt"),
    "a word at a line's end": ("Text of the line\n" * 9 + "w" * 300_000 + " x-\ny\n", "a.txt"),
    "brackets": ("[" * 300_000 + "Footnote 1: a", "a.txt"),
    "underscores": ("_a" * 300_000, "a.txt"),
    "superscripts": ("word² " * 20_000, "a.txt"),
}


@pytest.mark.parametrize(("text", "name"), HOSTILE.values(), ids=HOSTILE)
def test_time_grows_with_the_size(text: str, name: str) -> None:
    assert read_book(text.encode(), name, AudiobookSettings()).adds_up
