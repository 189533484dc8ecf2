"""Assets get their speech engine from resources: fields there overrule the settings."""

from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from resources.indextts2 import IndexTTS2Resource
from resources.speech import SpeechResource
from voice_core.settings import IndexTTS2Settings, MoshiSettings
from voice_core.tts import Utterance
from voice_core.tts.indextts2 import IndexTTS2Engine


@dg.asset
def said(speech: SpeechResource) -> dict[str, Any]:
    engine = speech.load()
    return {"engine": engine.name, "length": engine.speak(Utterance("Hello.", "high")).duration_sec}


def test_an_asset_speaks_with_the_engine_of_its_resource() -> None:
    result = dg.materialize([said], resources={"speech": SpeechResource(engine="noise")})
    told = result.output_for_node("said")
    assert told["engine"] == "noise"
    assert told["length"] > 0.3


def test_the_default_is_the_embedded_engine_with_the_two_voices_of_a_dialogue() -> None:
    engine = SpeechResource().load()
    assert engine.name == "hibari"
    assert {MoshiSettings().assistant_voice, MoshiSettings().user_voice} <= set(engine.voices)


def test_every_setting_of_indextts2_is_a_field_of_its_resource() -> None:
    own = set(dg.ConfigurableResource.model_fields)
    assert set(IndexTTS2Resource.model_fields) - own == set(IndexTTS2Settings.model_fields)


def test_run_configuration_reaches_the_engine_through_dagster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VOICE_INDEXTTS2__MODEL_DIR", str(tmp_path))
    monkeypatch.setenv("VOICE_INDEXTTS2__USE_FP16", "true")

    @dg.asset
    def loaded(speech: SpeechResource) -> dict[str, Any]:
        engine = speech.load()
        assert isinstance(engine, IndexTTS2Engine)
        return engine.settings.model_dump()

    given = {
        "use_fp16": False,
        "use_accel": True,
        "interval_silence": 0,
        "voices": {"anna": "/prompts/anna.wav"},
        "languages": ["en"],
        "generation": {"num_beams": 1, "top_p": 0.5},
    }
    indextts2 = IndexTTS2Resource.configure_at_launch()
    result = dg.materialize(
        [loaded],
        resources={"speech": SpeechResource(engine="indextts2", indextts2=indextts2), "indextts2": indextts2},
        run_config={"resources": {"indextts2": {"config": given}}},
    )
    told = result.output_for_node("loaded")
    assert told == {**IndexTTS2Settings().model_dump(), "model_dir": str(tmp_path), **given, "languages": ("en",)}  # type: ignore[call-arg]
