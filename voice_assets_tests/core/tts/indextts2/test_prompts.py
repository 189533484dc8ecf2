"""The recordings of voices and emotions, which the package reads anew whenever their path changes."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from voice_assets_tests.core.tts import fake_indextts
from voice_assets_tests.core.tts.fake_indextts import recorded_calls
from voice_core.synthesis import EngineSpec, SynthesisOptions, UtteranceGroup, synthesise
from voice_core.tts import Utterance, load_engine
from voice_core.tts.indextts2 import EMOTIONS, IndexTTS2Engine


def test_work_that_is_grouped_by_voice_computes_each_voice_once(engine: IndexTTS2Engine) -> None:
    for voice in ("anna", "anna", "anna", "ben", "ben", "ben"):
        engine.speak(Utterance("Hello.", voice))
    assert engine.prompt_misses == 2
    for voice in ("anna", "ben", "anna", "ben"):
        engine.speak(Utterance("Hello.", voice))
    assert engine.prompt_misses == 6


def test_a_recording_that_changed_under_its_path_is_used(engine: IndexTTS2Engine, options: dict[str, Any]) -> None:
    path = Path(options["voices"]["anna"])
    before, identity = engine.speak(Utterance("Hello.", "anna")).audio, engine.prompt_identity("anna")
    path.write_bytes(b"anna, ten years later")
    after = engine.speak(Utterance("Hello.", "anna")).audio
    assert not np.array_equal(before, after)
    assert engine.prompt_identity("anna") != identity
    path.write_bytes(b"anna")
    assert np.array_equal(engine.speak(Utterance("Hello.", "anna")).audio, before)
    assert engine.prompt_misses == 3


def test_a_voice_is_computed_when_it_is_warmed_and_not_again(engine: IndexTTS2Engine) -> None:
    engine.warm("anna")
    engine.warm("anna")
    assert engine.prompt_misses == 1
    engine.speak(Utterance("Hello.", "anna"))
    assert (engine.prompt_misses, len(recorded_calls(engine))) == (1, 2)
    engine.warm("nobody")


def test_clearing_forgets_recordings_and_all_that_the_model_keeps(engine: IndexTTS2Engine) -> None:
    engine.clear()
    engine.speak(Utterance("Hello.", "anna"))
    copy = Path(recorded_calls(engine)[0]["spk_audio_prompt"])
    assert copy.is_file()
    engine.clear()
    assert not copy.exists()
    assert {value for name, value in vars(engine._model).items() if name.startswith("cache_")} == {None}
    engine.speak(Utterance("Hello.", "anna"))
    assert engine.prompt_misses == 2


def test_a_worker_that_is_ended_takes_its_copies_with_it(
    options: dict[str, Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    notes = fake_indextts.install_everywhere(monkeypatch, tmp_path)
    monkeypatch.setenv("TMPDIR", str(tmp_path / "tmp"))
    (tmp_path / "tmp").mkdir()
    said = UtteranceGroup("one", (Utterance("Hello.", "anna"), Utterance("Good morning.", "ben")))
    (spoken,) = synthesise(
        [said],
        EngineSpec("indextts2", {**options, "local_dir": str(tmp_path / "tmp" / "scratch")}),
        SynthesisOptions("process", workers=1),
    )
    assert not spoken.failures
    assert len(notes.read_text().splitlines()) == 5
    assert [path.name for path in (tmp_path / "tmp").rglob("*") if path.is_file()] == ["ledger.lock"]


@pytest.mark.parametrize("emotion", EMOTIONS)
def test_a_named_emotion_is_its_place_in_the_vector(engine: IndexTTS2Engine, emotion: str) -> None:
    engine.speak(Utterance("Hello.", "anna", emotion=emotion))
    order = ["happy", "angry", "sad", "afraid", "disgusted", "melancholic", "surprised", "calm"]
    assert recorded_calls(engine)[0]["emo_vector"] == [0.8 if name == emotion else 0.0 for name in order]


def test_a_path_is_an_emotional_recording_and_any_other_text_a_description(
    engine: IndexTTS2Engine, tmp_path: Path
) -> None:
    angry = tmp_path / "angry.wav"
    angry.write_bytes(b"grr")
    for emotion in ("", str(angry), "close to tears"):
        engine.speak(Utterance("Hello.", "anna", emotion=emotion))
    plain, recorded, described = recorded_calls(engine)
    assert (plain["emo_audio_prompt"], plain["emo_vector"], plain["use_emo_text"]) == (None, None, False)
    assert Path(recorded["emo_audio_prompt"]).read_bytes() == b"grr"
    assert (described["use_emo_text"], described["emo_text"]) == (True, "close to tears")
    assert (engine.prompt_misses, engine.emotion_misses) == (1, 3)


def test_a_recording_or_a_description_that_cannot_be_used_is_refused(options: dict[str, Any]) -> None:
    engine = load_engine("indextts2", **options, use_qwen_emo=False)
    with pytest.raises(ValueError, match=r"nowhere/angry.wav cannot be read: No such file"):
        engine.speak(Utterance("Hello.", "anna", emotion="/nowhere/angry.wav"))
    needs = "'close to tears' is a description, which needs indextts2.use_qwen_emo; without it, use happy"
    with pytest.raises(ValueError, match=needs):
        engine.speak(Utterance("Hello.", "anna", emotion="close to tears"))
