from pathlib import Path
from typing import Any

import pytest

from voice_assets_tests.core.tts import fake_indextts
from voice_core.tts import load_engine
from voice_core.tts.indextts2 import IndexTTS2Engine


@pytest.fixture
def options(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Of an engine with two voices, whose package is the fake one."""
    fake_indextts.install(monkeypatch)
    voices = {name: str(tmp_path / f"{name}.wav") for name in ("anna", "ben")}
    for name, path in voices.items():
        Path(path).write_bytes(name.encode())
    return {"model_dir": str(fake_indextts.checkpoint(tmp_path / "weights")), "voices": voices}


@pytest.fixture
def engine(options: dict[str, Any]) -> IndexTTS2Engine:
    engine = load_engine("indextts2", **options)
    assert isinstance(engine, IndexTTS2Engine)
    return engine
