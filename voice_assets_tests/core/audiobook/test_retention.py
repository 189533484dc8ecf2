"""Speech of books that is freed: nothing is spoken for it until a chapter is mastered anew."""

import threading
from pathlib import Path

import pytest

from voice_assets_tests.files import files_below
from voice_core.audiobook.audio_manifest import read_audio_manifest
from voice_core.audiobook.audiobook_stage import build_audiobook
from voice_core.audiobook.books import BookFile, list_books
from voice_core.audiobook.build import BookReport, build_book, build_text
from voice_core.audiobook.checks import check_speech
from voice_core.audiobook.chunk_manifest import read_book_manifest
from voice_core.audiobook.integrity import audit_book
from voice_core.audiobook.retention import SpeechToFree, free_speech, plan_freeing
from voice_core.layout import BookKey
from voice_core.settings import AudiobookSettings, Settings
from voice_core.storage.distributed_lock import hold_lock
from voice_core.storage.store import Store
from voice_core.synthesis import SynthesisOptions

TEXT = "# One\n\nThe boat left at noon.\n\nIt came back late.\n\n# Two\n\nNobody was on it.\n\nThey looked twice.\n"
KEY = BookKey("boat")


class Shelf:
    """A book, a work root, and builds of the book in this process."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "books"
        self.folder.mkdir()
        self.books, self.work = Store(self.folder.as_uri()), Store((folder / "work").as_uri(), create=True)
        self.root = folder / "work"
        self.write(TEXT)

    def write(self, text: str) -> None:
        (self.folder / "boat.md").write_text(text, "utf-8")

    @property
    def file(self) -> BookFile:
        return list_books(self.books).find("boat")

    def settings(self, **changes: object) -> Settings:
        return Settings(audiobook=AudiobookSettings(formats=("m4b",), **changes))  # type: ignore[arg-type]

    def build(self, **changes: object) -> BookReport:
        serial = SynthesisOptions(backend="serial")
        return build_book(self.work, self.file, self.settings(**changes), serial, mastering_workers=1)

    def speech_files(self) -> list[str]:
        return [key for key in files_below(self.root) if key.endswith(".flac")]

    def audiobook_files(self) -> dict[str, bytes]:
        return {key: data for key, data in files_below(self.root).items() if key.startswith("audiobooks/")}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Shelf:
    shelf = Shelf(tmp_path_factory.mktemp("shelf"))
    assert plan_freeing(shelf.work, KEY).kept == "its speech is not finished"
    shelf.build()
    return shelf


def test_freed_speech_is_spoken_again_only_for_chapters_that_are_mastered_anew(built: Shelf) -> None:
    chunks = len(built.speech_files())
    before = built.audiobook_files()
    assert chunks >= 4
    freed = free_speech(built.work, KEY)
    assert (len(freed.keys), freed.kept) == (chunks, "")
    assert built.speech_files() == []
    text, speech = read_book_manifest(built.work, KEY), read_audio_manifest(built.work, KEY)
    assert text is not None
    assert speech is not None
    assert all(item.passed for item in check_speech(built.work, text, speech))
    assert audit_book(built.work, KEY).wrong == {}

    unchanged = built.build()
    assert (unchanged.audio.spoken, unchanged.audiobook.chapters_mastered) == (0, 0)
    assert built.audiobook_files() == before

    built.write(TEXT.replace("They looked twice.", "They looked again."))
    edited = built.build()
    in_chapter = sum(row.chapter == 2 for row in edited.text.chunks())
    assert (edited.audio.spoken, edited.audiobook.chapters_mastered) == (in_chapter, 1)
    assert len(built.speech_files()) == in_chapter

    louder = built.build(level_dbfs=-22.0)  # all chapters are mastered anew
    assert louder.audio.spoken == chunks - in_chapter
    assert louder.audiobook.chapters_mastered == 2
    built.write(TEXT)
    built.build()
    assert built.audiobook_files() == before


def test_only_the_chapters_that_need_it_are_spoken_again_and_the_report_is_of_both_runs(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path)
    built = shelf.build()
    free_speech(shelf.work, KEY)
    [m4a, _] = sorted(built.audiobook.manifest.of_format("m4a"), key=lambda row: row.chapter)
    shelf.work.delete([m4a.key])
    again = shelf.build()
    in_chapter = sum(row.chapter == 1 for row in again.text.chunks())
    assert (again.audio.spoken, again.audiobook.chapters_mastered) == (in_chapter, 1)
    assert len(shelf.speech_files()) == in_chapter
    assert again.audio.reused == len(again.text.chunks()) - in_chapter

    free_speech(shelf.work, KEY)
    shelf.write(TEXT.replace("twice", "again"))
    mixed = shelf.build(level_dbfs=-22.0)  # the second chapter has a new chunk, the first is mastered for its level
    chunks = len(mixed.text.chunks())
    assert (mixed.audio.spoken, mixed.audio.reused, mixed.audiobook.chapters_mastered) == (chunks, 0, 2)
    assert mixed.audio.stats.utterances == chunks


def test_speech_is_not_freed_while_the_book_is_mastered(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path)
    shelf.build()
    freed: list[SpeechToFree] = []
    thread = threading.Thread(target=lambda: freed.append(free_speech(shelf.work, KEY)))
    with hold_lock(shelf.work, f"audiobooks {KEY}"):
        thread.start()
        thread.join(timeout=0.5)
        assert thread.is_alive()
        assert shelf.speech_files()
    thread.join(timeout=60)
    assert freed
    assert not shelf.speech_files()


def test_speech_that_the_audiobook_is_not_made_of_is_kept(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path)
    shelf.build()
    shelf.write(TEXT.replace("noon", "dawn"))
    build_text(shelf.work, shelf.file, shelf.settings())
    with pytest.raises(LookupError, match="speech of boat is older than its text: 1 chunk without speech of these"):
        build_audiobook(shelf.work, KEY, shelf.settings(), workers=1)
    [m4b] = shelf.root.rglob("*.m4b")
    m4b.write_bytes(m4b.read_bytes()[:-1] + b"?")
    assert free_speech(shelf.work, KEY).kept == "of its audiobook, a file is not what was committed"
    assert shelf.speech_files()
