"""The player of an audiobook, from manifests and files of speech that are made here."""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from html import unescape
from html.parser import HTMLParser

import numpy as np
import pytest

from voice_assets_tests.core.report.test_notebook import page_of
from voice_assets_tests.core.report.test_page import HOSTILE, Elements
from voice_core.audio.pcm import flac_bytes, to_pcm16
from voice_core.audiobook.audio_manifest import ChunkAudioManifest, ChunkAudioRow, speech_key
from voice_core.audiobook.chunk_manifest import BookManifest, ChunkRow
from voice_core.fingerprint import sha256
from voice_core.layout import BookKey
from voice_core.recognition.text_words import split_words
from voice_core.recognition.word_times import Word
from voice_core.report.audiobook import render_book_notebook, render_book_page
from voice_core.report.book_sound import PAUSE_SEC
from voice_core.report.book_text import join_book, rank_exceptions, split_at_words
from voice_core.report.notebook import compute_notebook_version, read_notebook_version
from voice_core.storage.store import Store

RATE = 24_000
BOOK = BookKey("tales")
SECONDS_A_WORD = 0.25


@dataclass(frozen=True, slots=True)
class TimedWord:
    text: str
    start: float
    end: float


class Player(HTMLParser):
    """Reads a page as the script does: the words of each article with their times, and all visible text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.words: dict[str, list[TimedWord]] = {}
        self.text = ""
        self._article, self._times, self._at, self._inside = "", [], 0.0, ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        if tag in ("article", "style", "script", "i"):
            self._inside = tag
        if tag == "article":
            self._article = found.get("id") or f"card {len(self.words)}"
            self.words[self._article] = []
        if words := found.get("data-words"):
            self._at, self._times = float(found["data-at"] or 0), [int(time) / 1000 for time in words.split(" ")]

    def handle_endtag(self, tag: str) -> None:
        if tag == self._inside:
            self._inside = ""

    def handle_data(self, data: str) -> None:
        if self._inside in ("style", "script"):
            return
        self.text += data
        if self._inside == "i":
            start, end, *self._times = self._times
            self.words[self._article].append(TimedWord(data, round(self._at + start, 3), round(self._at + end, 3)))


def chunk(chapter: int, number: int, text: str, **given: object) -> ChunkRow:
    row = ChunkRow(f"{chapter:03}-{number:04}", chapter, number, "paragraph", text, text, place=f"ch{chapter}.xhtml")
    return replace(row, **given)


def left_out(chapter: int, block: int, text: str, **given: object) -> ChunkRow:
    return replace(ChunkRow("", chapter, block, "paragraph", text, place=f"ch{chapter}.xhtml"), **given)


ROWS = (
    chunk(1, 0, "The Sea", kind="heading"),
    chunk(1, 1, f"It was {HOSTILE} cold."),
    left_out(1, 2, "12", skipped="page_number"),
    chunk(1, 3, "Nobody spoke – not one."),
    chunk(2, 0, "وصل القطار في المساء.", language="ar"),
    left_out(2, 1, "القمر الأخضر", refused="not_in_the_voice", message="the voice has no Arabic"),
    chunk(2, 2, "Then it ended."),
    left_out(0, 0, "Copyright 1815", skipped="front_matter"),
)
EXCEPTIONS = {"001-0003": (("silence", "1.9 s of silence inside"), ("cut_end", "speech at the last sample"))}


def make_book(rows: Sequence[ChunkRow] = ROWS) -> BookManifest:
    metadata = {"title": f"Tales {HOSTILE}", "authors": ["A. <b>Writer</b>"], "language": "en"}
    chapters = (("One & all", 1), ("القطار", 2), ("Empty", 1))
    return BookManifest("tales", True, "", "tales.epub", metadata=metadata, chapters=chapters, rows=rows)


def speak(store: Store, row: ChunkRow, silent: Sequence[str] = (), pause_sec: float = 0.0) -> ChunkAudioRow:
    """A hum of a quarter of a second for each word of the row."""
    if row.chunk_id in silent:
        return ChunkAudioRow(row.chunk_id, "f", reason="engine_failed", message="the engine stopped: <gone>", takes=3)
    words = split_words(row.text)
    times = [[word, i * SECONDS_A_WORD, (i + 0.8) * SECONDS_A_WORD] for i, word in enumerate(words)]
    at = np.arange(round((len(words) * SECONDS_A_WORD + pause_sec) * RATE)) / RATE
    data = flac_bytes(to_pcm16(0.3 * np.sin(2 * np.pi * 150 * at)), RATE)
    key = speech_key(BOOK, row.chunk_id)
    store.put(key, data)
    return ChunkAudioRow(
        row.chunk_id, "f", True, takes=2, sample_count=len(at), key=key, sha256=sha256(data), size_bytes=len(data),
        words=json.dumps(times, ensure_ascii=False), approximate=True,
        exceptions=json.dumps(EXCEPTIONS.get(row.chunk_id, ())),
    )  # fmt: skip


def make_audio(
    store: Store, book: BookManifest, silent: Sequence[str] = (), pause_sec: float = 0.0
) -> ChunkAudioManifest:
    rows = [speak(store, row, silent, pause_sec) for row in book.chunks()]
    return ChunkAudioManifest("tales", True, "", RATE, rows=rows)


@pytest.fixture
def store() -> Store:
    return Store("memory://")


@pytest.fixture
def html(store: Store) -> str:
    book = make_book()
    return render_book_page(store, book, make_audio(store, book, silent=["002-0002"]))


def test_text_of_a_book_is_escaped_and_nothing_comes_from_outside(html: str) -> None:
    assert HOSTILE not in html
    assert "<script>alert" not in html
    assert "<b>Writer</b>" not in html
    assert "<gone>" not in html
    assert HOSTILE in Player(html).text
    assert not re.search(r"https?://", html)
    assert all(str(item["src"]).startswith("data:audio/mpeg;base64,") for item in Elements(html).named("audio"))
    assert "default-src 'none'" in html


def test_all_text_is_shown_once_in_the_order_of_the_book(html: str) -> None:
    shown = " ".join(Player(html).text.partition("Click a word")[2].split())
    places = [shown.index(" ".join(row.text.split())) for row in ROWS]
    assert places == sorted(places)
    assert len(set(places)) == len(ROWS)


def test_the_words_have_the_times_of_the_joined_chunks(html: str) -> None:
    words = Player(html).words["chapter-1"]
    chunks = [row for row in ROWS if row.chapter == 1 and row.chunk_id]
    expected, at = [], 0.0
    for row in chunks:
        texts = split_words(row.text)
        for place, text in enumerate(texts):
            start = round(at + place * SECONDS_A_WORD, 3)
            expected.append(TimedWord(text, start, round(start + 0.8 * SECONDS_A_WORD, 3)))
        at += len(texts) * SECONDS_A_WORD + PAUSE_SEC
    assert words == expected
    assert [word.text for word in words][-3:] == ["spoke –", "not", "one."]


def test_a_paragraph_begins_where_its_first_word_is(html: str) -> None:
    starts = [item for item in Elements(html).named("button") if item.get("class") == "when" and "data-start" in item]
    first = [word.start for word in Player(html).words["chapter-1"] if word.text in ("The", "It", "Nobody")]
    assert [float(str(item["data-start"])) for item in starts[:3]] == first
    assert all(item["aria-label"] for item in starts)


def test_exceptions_are_listed_worst_first_with_place_and_link(html: str) -> None:
    cards = [str(item["id"]) for item in Elements(html).named("article") if "exception" in str(item["class"])]
    assert cards == ["x-002-0002", "x-row-5", "x-001-0003"]  # lost text by its length, then failed speech
    targets = {str(attrs["id"]) for _, attrs in Elements(html).tags if attrs.get("id")}
    links = {str(item["href"])[1:] for item in Elements(html).named("a")}
    assert {"002-0002", "row-5", "001-0003", *cards} <= links <= targets
    text = unescape(html)
    for part in ("chapter 2, “القطار”, chunk 002-0002, ch2.xhtml", "the engine stopped: <gone>", "3 takes"):
        assert part in text
    for part in ("the voice has no Arabic", "1.9 s of silence inside", "speech at the last sample"):
        assert part in text


def test_every_exception_of_many_is_listed(store: Store) -> None:
    rows = [chunk(1, number, "word") for number in range(40)]
    book = make_book(rows)
    html = render_book_page(store, book, make_audio(store, book, silent=[row.chunk_id for row in rows]))
    cards = [str(item["id"]) for item in Elements(html).named("article") if "exception" in str(item["class"])]
    assert cards == [f"x-{row.chunk_id}" for row in rows]
    assert "<summary>28 more exceptions</summary>" in html
    assert "40 of them without speech" in html


def test_a_book_without_exceptions_says_so(store: Store) -> None:
    book = make_book([chunk(1, 0, "All is well.")])
    html = render_book_page(store, book, make_audio(store, book))
    assert "None: every chunk was spoken and passed its tests." in html
    assert "None: all text of the book is spoken." in html


def test_the_page_of_a_novel_stays_small(store: Store) -> None:
    rows = [chunk(1, number, "many words " * 50) for number in range(20)]
    book = make_book(rows)
    html = render_book_page(store, book, make_audio(store, book), str, starts_sec={row.chunk_id: 1.0 for row in rows})
    assert len(html) < 20_000 + 30 * 100 * len(rows)  # 30 bytes a word


def test_skipped_text_is_marked_with_its_reason(html: str) -> None:
    assert re.search(
        r'class="skipped" title="page number">12</span> <span class="badge s-other" dir="ltr">page n', html
    )
    assert re.search(r'class="skipped" title="front matter">Copyright 1815</span>', html)
    assert re.search(r"<td><bdi>front matter</bdi></td><td class=\"number\">13</td>", html)
    assert re.search(r"<td><bdi>not in the voice</bdi></td>", html)


def test_right_to_left_text_has_its_direction_and_language(html: str) -> None:
    blocks = [item for item in Elements(html).named("div") if str(item.get("class")).startswith("paragraph ")]
    assert len(blocks) == len(ROWS)
    assert {(item["lang"], item["dir"]) for item in blocks} == {("en", "auto"), ("ar", "rtl")}
    assert [item["lang"] for item in blocks].count("ar") == 1
    assert [word.text for word in Player(html).words["chapter-2"]] == split_words(ROWS[4].text)


def test_chapters_can_be_chosen_and_an_empty_one_says_so(html: str) -> None:
    contents = html[html.index('<nav class="contents"') : html.index("</nav>", html.index('<nav class="contents"'))]
    assert re.findall(r'href="#([^"]+)"', contents) == ["chapter-1", "chapter-2", "chapter-3", "outside"]
    assert html[html.index('id="chapter-3"') :].count("No text.") == 1


def test_the_embedded_sound_stays_within_its_budget(store: Store) -> None:
    rows = [chunk(chapter, number, "some words " * 40) for chapter in (1, 2, 3) for number in range(4)]
    book = make_book(rows)
    audio = make_audio(store, book)  # 20 s a chunk
    html = render_book_page(store, book, audio, seconds=110.0)
    assert len(html) < 1_300_000
    words = Player(html).words
    assert max(word.end for word in words["chapter-1"]) == pytest.approx(80 + 3 * PAUSE_SEC, abs=0.1)
    assert max(word.end for word in words["chapter-2"]) == pytest.approx(20, abs=0.1)
    assert words["chapter-3"] == []
    assert html.count("to keep the page small") == 1
    assert html.count("no sound here") == 1
    silent = render_book_page(store, book, audio, seconds=0.0)
    assert not Elements(silent).named("audio")
    assert len(silent) < 40_000


def test_a_long_first_chunk_is_cut(store: Store) -> None:
    book = make_book([chunk(1, 0, "many words " * 100)])
    html = render_book_page(store, book, make_audio(store, book), seconds=10.0)
    words = Player(html).words["chapter-1"]
    assert max(word.end for word in words) <= 10.0
    assert len(words) == 40


def test_files_of_chapters_beside_the_page(store: Store) -> None:
    book = make_book()
    audio = make_audio(store, book)
    starts = {"001-0000": 0.75, "001-0001": 2.5, "001-0003": 9.0, "002-0000": 0.75, "002-0002": 4.0}
    html = render_book_page(store, book, audio, lambda chapter: f"chapters/{chapter:03}.mp3", starts_sec=starts)
    assert [item["src"] for item in Elements(html).named("audio")] == ["chapters/001.mp3", "chapters/002.mp3"]
    words = Player(html).words
    assert [word.start for word in words["chapter-1"] if word.text in ("The", "It", "Nobody")] == [0.75, 2.5, 9.0]
    assert words["chapter-2"][-1] == TimedWord("ended.", 4.5, 4.7)
    assert "base64" not in html
    with pytest.raises(ValueError, match="starts_sec"):
        render_book_page(store, book, audio, str)


def test_an_exception_beyond_the_embedded_chapters_has_its_own_sound(store: Store) -> None:
    book = make_book()
    html = render_book_page(store, book, make_audio(store, book), seconds=3.0)
    own = [word.text for word in Player(html).words["x-001-0003"]]
    assert own == split_words(ROWS[3].text)[:3]  # a quarter of the 3 seconds
    assert "data-chunk=" not in html
    whole = render_book_page(store, book, make_audio(store, book))
    assert Player(whole).words["x-001-0003"] == []
    assert whole.count('data-chunk="001-0003"') == 1


def test_a_file_that_cannot_be_read_is_named_and_the_rest_is_played(store: Store) -> None:
    book = make_book()
    audio = make_audio(store, book)
    store.delete([audio.rows[0].key])
    store.put(audio.rows[1].key, b"no flac")
    html = render_book_page(store, book, audio)
    assert html.count('class="trouble"') == 2
    assert f"{audio.rows[0].key}" in html
    assert f"{audio.rows[1].key} is not the file that was committed" in html
    assert [word.text for word in Player(html).words["chapter-1"]] == split_words(ROWS[3].text)


def test_chunks_without_a_row_are_counted_and_marked(store: Store) -> None:
    book = make_book()
    audio = make_audio(store, book)
    html = render_book_page(store, book, replace(audio, complete=False, rows=audio.rows[:-1]))
    assert "1 chunk of 5 has no speech yet" in html
    assert '<span class="missing" title="no speech yet">Then it ended.</span>' in html
    none = render_book_page(store, book, ChunkAudioManifest("tales", False, ""))
    assert "5 chunks of 5 have no speech yet" in none


def test_pages_and_notebooks_are_the_same_twice(store: Store) -> None:
    book = make_book()
    audio = make_audio(store, book)
    assert render_book_page(store, book, audio) == render_book_page(store, book, audio)
    assert render_book_notebook(store, book, audio) == render_book_notebook(store, book, audio)


def test_the_notebook_has_the_first_minute_and_the_worst_exceptions(store: Store) -> None:
    rows = [*ROWS[:4], *(chunk(2, number, "some more words " * 20) for number in range(12))]
    book = make_book(rows)
    audio = make_audio(store, book, silent=["002-0001"])
    notebook = render_book_notebook(store, book, audio)
    assert read_notebook_version(notebook) == compute_notebook_version(audio)
    assert len(notebook) < 900_000
    html = page_of(notebook)
    cards = Player(html).words
    first, silent, failed = cards.values()
    assert first[0] == TimedWord("The", 0.0, 0.2)
    assert 40 < first[-1].end <= 60
    assert silent == []
    assert [word.text for word in failed] == split_words(ROWS[3].text)
    assert "The first minute of the book. 2 exceptions." in html
    assert "chapter 1, “One &amp; all”, chunk 001-0003, ch1.xhtml" in html
    assert HOSTILE not in html


def test_the_notebook_of_a_book_without_speech_says_so(store: Store) -> None:
    book = make_book()
    audio = make_audio(store, book, silent=[row.chunk_id for row in book.chunks()])
    html = page_of(render_book_notebook(store, book, audio))
    assert "No text of this book was spoken. 6 exceptions." in html
    assert not Elements(html).named("audio")
    many = make_book([chunk(1, number, "word") for number in range(9)])
    silent = make_audio(store, many, silent=[row.chunk_id for row in many.chunks()])
    assert "9 exceptions, the worst 6 are shown." in page_of(render_book_notebook(store, many, silent))


def test_a_chunk_without_word_times_is_one_piece(store: Store) -> None:
    book = make_book([chunk(1, 0, "No aligner here.")])
    audio = make_audio(store, book)
    rows = [replace(row, words="[]") for row in audio.rows]
    html = render_book_page(store, book, replace(audio, rows=rows))
    assert Player(html).words["chapter-1"] == [TimedWord("No aligner here.", 0.0, 0.75)]


def test_the_text_is_whole_whatever_the_words_are() -> None:
    text = "“Well —” she said,\nwell, well."
    words = [Word(item, i / 1, i + 1.0) for i, item in enumerate(["Well —”", "gone", "said,", "well, well."])]
    pieces = split_at_words(text, words)
    assert "".join(piece for piece, _ in pieces) == text
    assert [piece for piece, word in pieces if word] == ["Well —”", "said,", "well, well."]
    far = "one " + "filler " * 30 + "two"
    assert [piece for piece, word in split_at_words(far, [Word("two", 0, 1), Word("one", 1, 2)]) if word] == ["one"]


def test_equal_exceptions_stay_in_the_order_of_the_book(store: Store) -> None:
    rows = [chunk(1, number, "same") for number in range(5)]
    book = make_book(rows)
    audio = make_audio(store, book, silent=[row.chunk_id for row in rows])
    assert [line.row for line in rank_exceptions(join_book(book, audio))] == rows
