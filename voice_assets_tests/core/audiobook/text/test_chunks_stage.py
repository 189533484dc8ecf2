"""The stage `book_chunks`: committed with the cover, kept while nothing changes, and its checks."""

import dataclasses
from pathlib import Path

import pytest

from voice_assets_tests.core.audiobook.text.conftest import FakeSpeaker, make_book, manifest_of
from voice_assets_tests.files import files_below
from voice_core.audiobook.chunk_manifest import BookManifest, ChunkRow, read_book_manifest
from voice_core.audiobook.chunks_stage import build_book_chunks
from voice_core.audiobook.model import Block, Book, BookError, Chapter, Cover, SkippedText
from voice_core.audiobook.text import make_rows
from voice_core.audiobook.text.lexicon import Lexicon
from voice_core.audiobook.text_checks import chapters_have_text, nothing_refused, text_adds_up
from voice_core.layout import BookKey
from voice_core.settings import ConfigurationError
from voice_core.settings.audiobook import AudiobookSettings
from voice_core.storage.store import Store
from voice_core.tts import load_engine

KEY = BookKey("emma")
BOOK = make_book(
    [Block("CHAPTER I", "heading"), "Emma came, on 3 May. She left.", Block("***")],
    ["He said «السلام عليكم» to Dale.", Block("12", skipped="page_number")],
    [Block("* * *")],
    authors=("Jane Austen",),
    language="en",
    cover=Cover(b"jpeg"),
    warnings=("ch2.xhtml was repaired",),
    unplaced=(Block("Index of names", skipped="back_matter"),),
)


class Builder:
    """A store, and building one book in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.store = Store(folder.as_uri(), create=True)

    def build(
        self, book: Book = BOOK, data: bytes = b"epub", speaker: FakeSpeaker | None = None, **settings: object
    ) -> BookManifest:
        given = AudiobookSettings(**settings)  # type: ignore[arg-type]
        return build_book_chunks(self.store, KEY, "emma.epub", data, book, given, speaker or FakeSpeaker())  # type: ignore[arg-type]

    def files(self) -> dict[str, bytes]:
        return files_below(self.folder / "book_chunks")


@pytest.fixture
def builder(tmp_path: Path) -> Builder:
    return Builder(tmp_path / "work")


def test_a_book_is_committed_with_its_cover(builder: Builder) -> None:
    manifest = builder.build()
    assert sorted(builder.files()) == ["emma/_manifest.parquet", "emma/cover.jpg"]
    assert builder.files()["emma/cover.jpg"] == b"jpeg"
    found = read_book_manifest(builder.store, KEY)
    assert found is not None
    assert found.complete
    assert (found.to_bytes(), list(found.rows)) == (manifest.to_bytes(), list(manifest.rows))
    assert (found.source, found.source_characters, found.title) == ("emma.epub", BOOK.source_characters, "The Book")
    assert found.metadata["authors"] == ["Jane Austen"]
    assert found.warnings[0] == "ch2.xhtml was repaired"
    assert found.characters() == {
        "spoken": 45, "ornament": 6, "foreign_script": 13, "page_number": 2, "back_matter": 12,
    }  # fmt: skip
    assert text_adds_up(found).passed


def test_nothing_is_written_while_nothing_changes(builder: Builder, monkeypatch: pytest.MonkeyPatch) -> None:
    before = builder.build()
    with monkeypatch.context() as patched:
        patched.setattr(Store, "put", None)
        assert builder.build().to_bytes() == before.to_bytes()


@pytest.mark.parametrize("change", ["data", "text", "voice", "limit", "engine", "lexicon"])
def test_a_change_of_the_inputs_builds_again(builder: Builder, tmp_path: Path, change: str) -> None:
    lexicon = tmp_path / "words.toml"
    lexicon.write_text('[[entry]]\nword = "Emma"\nrespell = "Emmer"\n')
    before = builder.build(lexicon=str(lexicon))
    assert builder.build(lexicon=str(lexicon)).inputs == before.inputs
    if change == "data":
        after = builder.build(data=b"other", lexicon=str(lexicon))
    elif change == "text":
        after = builder.build(dataclasses.replace(BOOK, chapters=BOOK.chapters[:2]), lexicon=str(lexicon))
    elif change == "voice":
        after = builder.build(voice="high", lexicon=str(lexicon))
    elif change == "limit":
        after = builder.build(max_characters=30, lexicon=str(lexicon))
    elif change == "engine":
        after = builder.build(speaker=FakeSpeaker(name="other"), lexicon=str(lexicon))
    else:
        lexicon.write_text('[[entry]]\nword = "Emma"\nrespell = "Amma"\n')
        after = builder.build(lexicon=str(lexicon))
    assert after.inputs != before.inputs
    found = read_book_manifest(builder.store, KEY)
    assert found is not None
    assert found.to_bytes() == after.to_bytes()


def test_the_place_of_a_recording_that_is_a_voice_is_not_stored(tmp_path: Path) -> None:
    book = make_book(["The boat left.", "[Ben]: It came back."])
    found = []
    for name in ("here", "there"):
        (tmp_path / name).mkdir()
        for voice in ("anna", "ben"):
            (tmp_path / name / f"{voice}.wav").write_bytes(voice.encode())
        folder = tmp_path / name
        settings = AudiobookSettings(voice=str(folder / "anna.wav"), voices={"Ben": str(folder / "ben.wav")})
        store = Store((folder / "work").as_uri(), create=True)
        found.append(build_book_chunks(store, KEY, "emma.txt", b"", book, settings, load_engine("noise")))
    assert found[0].to_bytes() == found[1].to_bytes()
    assert [row.voice.partition("#")[0] for row in found[0].chunks()] == ["anna.wav", "ben.wav"]


def test_a_damaged_cover_is_written_again_and_an_old_one_removed(builder: Builder) -> None:
    builder.build()
    cover = builder.folder / "book_chunks/emma/cover.jpg"
    cover.write_bytes(b"JPEG")
    builder.build()
    assert cover.read_bytes() == b"jpeg"
    builder.build(dataclasses.replace(BOOK, cover=Cover(b"png", "image/png")))
    assert sorted(builder.files()) == ["emma/_manifest.parquet", "emma/cover.png"]
    builder.build(dataclasses.replace(BOOK, cover=None))
    assert sorted(builder.files()) == ["emma/_manifest.parquet"]


def test_a_killed_build_ends_in_the_same_bytes(builder: Builder, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = (builder.build(), builder.files())[1]
    builder.build(dataclasses.replace(BOOK, cover=Cover(b"other")))

    def put(store: Store, key: str, data: bytes) -> None:
        if key.endswith("cover.jpg"):
            raise KeyboardInterrupt
        original(store, key, data)

    original = Store.put
    with monkeypatch.context() as patched:
        patched.setattr(Store, "put", put)
        with pytest.raises(KeyboardInterrupt):
            builder.build()
    found = read_book_manifest(builder.store, KEY)
    assert found is not None
    assert not found.complete
    builder.build()
    assert builder.files() == expected


def test_errors_leave_what_is_there(builder: Builder, tmp_path: Path) -> None:
    builder.build()
    before = builder.files()
    with pytest.raises(BookError, match=r"no voice is set for Bob \(1 line\)"):
        builder.build(make_book(["[Bob]: Hello."]))
    with pytest.raises(ConfigurationError, match=r"audiobook\.voice is 'none': fake has no such voice"):
        builder.build(voice="none")
    with pytest.raises(ConfigurationError, match=r"audiobook.voices\['Bob'\] is 'none'"):
        builder.build(voices={"Bob": "none"})
    with pytest.raises(ConfigurationError, match=r"a\.toml cannot be read"):
        builder.build(lexicon=str(tmp_path / "a.toml"))
    assert builder.files() == before


def test_phonemes_that_the_engine_does_not_take_are_a_warning(builder: Builder, tmp_path: Path) -> None:
    lexicon = tmp_path / "words.toml"
    lexicon.write_text('[[entry]]\nword = "Emma"\nphonemes = "ema"\n')
    assert len(builder.build(lexicon=str(lexicon)).warnings) == 1
    warnings = builder.build(speaker=FakeSpeaker(inline_phonemes=False), lexicon=str(lexicon)).warnings
    assert list(warnings[1:]) == [f"fake takes no phonemes: 1 entry of {lexicon.name} not used; use respell instead"]


def test_numbers_that_are_left_to_the_engine_are_a_warning(builder: Builder) -> None:
    book = make_book(["Es waren 40.", "Es waren 50 km."], language="de")
    assert builder.build(book, speaker=FakeSpeaker(languages=())).warnings == (
        "'de': 2 chunks with a note, first 001-0001: numbers are left to the engine: 40.",
    )


def test_the_checks_name_what_is_refused_and_what_is_empty(builder: Builder) -> None:
    manifest = builder.build()
    refused = nothing_refused(manifest)
    assert (refused.passed, refused.warning) == (False, True)
    assert refused.message.startswith("chapter 2: foreign_script, 13 characters: fake cannot read the script of")
    assert chapters_have_text(manifest).message == "chapter 3 ('') has nothing to speak"
    plain = builder.build(make_book(["It rained."]))
    assert nothing_refused(plain).passed
    assert chapters_have_text(plain).passed


ROW = ChunkRow("001-0001", 1, 0, "paragraph", "One. Two.", "One. Two.", "[[0,4],[5,9]]")


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (dataclasses.replace(ROW, text="One.", spoken_text="One.", sentences="[[0,4]]"), "the rows have 4 characters"),
        (dataclasses.replace(ROW, sentences="[[0,4]]"), "001-0001: its sentences do not cover the text at position 4"),
        (dataclasses.replace(ROW, sentences="[[5,9]]"), "its sentences do not cover the text at position 0"),
        (dataclasses.replace(ROW, spoken_text="One. Too."), "its spoken text is not that of its text"),
        (dataclasses.replace(ROW, spoken_text="One. "), "its spoken text is not that of its text"),
        (dataclasses.replace(ROW, spoken_text=" "), "its spoken text is empty"),
        (dataclasses.replace(ROW, chunk_id=""), "it must be either spoken, skipped or refused"),
        (dataclasses.replace(ROW, skipped="note"), "it must be either spoken, skipped or refused"),
    ],
)
def test_text_adds_up_finds_what_is_wrong(row: ChunkRow, message: str) -> None:
    good = BookManifest("book", True, "", source_characters=8, rows=(ROW,))
    assert text_adds_up(good).passed
    outcome = text_adds_up(dataclasses.replace(good, rows=(row,)))
    assert not outcome.passed
    assert message in outcome.message


def test_text_adds_up_with_inline_text_and_added_titles() -> None:
    block = Block("He came.", inline=(SkippedText("12", "page_number"),))
    book = dataclasses.replace(make_book([block]), chapters=(Chapter("Rain", (block,)),))
    rows = make_rows(book, AudiobookSettings(), FakeSpeaker(), Lexicon())
    manifest = manifest_of(book, rows)
    assert manifest.characters() == {"spoken": 7, "page_number": 2}
    assert text_adds_up(manifest).passed
    twice = dataclasses.replace(manifest, source_characters=16, rows=(*rows, rows[1]))
    assert "001-0002 is there twice" in text_adds_up(twice).message


def test_the_embedded_engine_speaks_the_chunks() -> None:
    engine = load_engine("hibari")
    book = make_book(["[Contents](/toc/), Москва, " + "x" * 70 + ": 12 & more."])
    rows = make_rows(book, AudiobookSettings(), engine, Lexicon())
    assert [(row.refused, row.spoken_text) for row in rows] == [
        ("", "[Contents] (/toc/),"),
        ("foreign_script", ""),
        ("word_too_long", ""),
        ("", "twelve and more."),
    ]
