"""Books by an engine with recorded voices that keeps one of them, on a GPU."""

from pathlib import Path
from typing import Any

import pytest

from voice_assets_tests.core.tts import fake_indextts
from voice_core.audiobook import build
from voice_core.audiobook.audio_manifest import read_audio_manifest
from voice_core.audiobook.books import list_books
from voice_core.compute.gpu_lock import read_gpu_holders
from voice_core.layout import BookKey
from voice_core.settings import Settings
from voice_core.storage.store import Store
from voice_core.synthesis import SynthesisOptions

TEXT = "# One\n\nThe boat left.\n\n[Ben]: It came back.\n\nNobody was on it.\n\n[Ben]: They looked twice.\n"


class GpuShelf:
    """Two books, two recorded voices, and what the package was asked."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.locks = str(folder / "locks")
        monkeypatch.setattr("voice_core.tts.indextts2.engine._gpus", lambda _: {"GPU-0": "cpu"})
        self._notes = fake_indextts.install_everywhere(monkeypatch, folder)
        self.voices = {name: str(folder / f"{name}.wav") for name in ("anna", "ben")}
        for name, path in self.voices.items():
            Path(path).write_bytes(name.encode())
        validation = folder / "validation_config.yaml"
        validation.write_text("tier1: {enabled: false}\n")  # the fake speech is not as long as its text
        self.settings = Settings.load(
            speech={"engine": "indextts2"},
            indextts2={
                "model_dir": str(fake_indextts.checkpoint(folder / "weights")),
                "voices": self.voices,
                "device": "cuda",
            },
            audiobook={
                "voice": "anna",
                "voices": {"Ben": "ben"},
                "aligner": "approximate",
                "validation": str(validation),
            },
            workers=1,
            gpu_lock_dir=self.locks,
        )
        (folder / "books").mkdir()
        for name in ("boat", "ferry"):
            (folder / "books" / f"{name}.md").write_text(TEXT.replace("boat", name))
        self.books = Store((folder / "books").as_uri())
        self.work = Store((folder / "work").as_uri(), create=True)

    def build(self) -> build.LibraryReport:
        files = [*list_books(self.books).files.values()]
        report = build.build_books(self.work, files, self.settings, SynthesisOptions("serial"))
        assert report.failures == {}
        return report

    def notes(self, what: str) -> list[str]:
        """What the package was asked since the last call."""
        lines = self._notes.read_text().splitlines() if self._notes.exists() else []
        self._notes.unlink(missing_ok=True)
        return [line.split(" ", 2)[-1] for line in lines if line.split(" ")[1] == what]


def test_books_are_spoken_voice_by_voice_on_one_gpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shelf = GpuShelf(tmp_path, monkeypatch)
    held: list[bool] = []
    master = build.build_audiobook

    def looking(*given: Any, **named: Any) -> Any:
        held.append(read_gpu_holders(shelf.locks)["GPU-0"] is not None)
        return master(*given, **named)

    monkeypatch.setattr(build, "build_audiobook", looking)
    report = shelf.build()
    assert [item.audio.spoken for item in report.books.values()] == [5, 5]
    assert held == [True, True]
    assert read_gpu_holders(shelf.locks) == {"GPU-0": None}
    voices = shelf.notes("voice")
    assert voices in (["anna", "ben", "anna", "ben"], ["anna", "ben", "anna", "ben", "anna"])
    for key in ("boat", "ferry"):
        speech = read_audio_manifest(shelf.work, BookKey(key))
        assert speech is not None
        assert sorted(speech.gains_db) == ["anna", "ben"]
        assert all(speech.gains_db.values())
        assert {row.voice for row in speech.rows} == {"anna", "ben"}
        assert all(row.spoken for row in speech.rows)
        assert str(tmp_path) not in repr((speech.parameters, *speech.rows))


def test_another_recording_speaks_its_chunks_and_measures_its_level(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shelf = GpuShelf(tmp_path, monkeypatch)
    shelf.build()
    shelf.notes("voice")
    assert [item.audio.stats.utterances for item in shelf.build().books.values()] == [0, 0]
    assert shelf.notes("made") == []  # the weights are not loaded
    Path(shelf.voices["ben"]).write_bytes(b"another take")
    first, second = shelf.build().books.values()
    assert (first.audio.spoken, first.audio.stats.utterances) == (2, 5)
    assert (second.audio.spoken, second.audio.stats.utterances) == (2, 2)
    redone = build.build_book(
        shelf.work, BookKey("boat"), shelf.settings, SynthesisOptions("serial"), redo=["001-0003"]
    )
    assert redone.audio.spoken == 1
