"""A store with a book, and its speech."""

import json
from pathlib import Path
from typing import Any

import pytest

from voice_assets_tests.core.audiobook.speech.babble import BOOK, babble
from voice_assets_tests.files import files_below
from voice_core.audiobook.audio_manifest import STAGE, ChunkAudioRow
from voice_core.audiobook.speech import ChunkAudioReport, build_chunk_audio
from voice_core.settings import AudiobookSettings, Settings
from voice_core.storage.store import Store
from voice_core.synthesis import SynthesisOptions


class SpeechBuilder:
    """A work root, and builds in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.store = Store((folder / "work").as_uri(), create=True)

    def settings(self, **audiobook: Any) -> Settings:
        return Settings(audiobook=AudiobookSettings(**{"voice": "near", **audiobook}))

    def build(self, options: SynthesisOptions | None = None, **given: Any) -> ChunkAudioReport:
        """With the settings and options of the engine that are given."""
        build = {name: given.pop(name) for name in ("redo", "verify") if name in given}
        settings = self.settings(**given.pop("settings", {}))
        options = options or SynthesisOptions("serial")
        return build_chunk_audio(self.store, BOOK, settings, options, babble(**given), **build)

    def row(self, report: ChunkAudioReport, chunk_id: str) -> ChunkAudioRow:
        (row,) = [row for row in report.manifest.rows if row.chunk_id == chunk_id]
        return row

    def files(self) -> dict[str, bytes]:
        return files_below(self.folder / "work" / STAGE)

    def config(self, text: str) -> str:
        path = self.folder / "validation_config.yaml"
        path.write_text(text)
        return str(path)


def failed_tests(row: ChunkAudioRow) -> list[str]:
    return [test for test, _ in json.loads(row.exceptions)]


@pytest.fixture
def builder(tmp_path: Path) -> SpeechBuilder:
    return SpeechBuilder(tmp_path)
