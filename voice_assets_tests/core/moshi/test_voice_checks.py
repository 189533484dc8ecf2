"""Voices are known before anything is spoken, and recordings by what lies in them."""

from pathlib import Path

import pytest

from voice_assets_tests.core.moshi.conftest import make_dialogue
from voice_core.moshi.script import Dialogue, Turn
from voice_core.moshi.voice_checks import check_voices, hash_recordings
from voice_core.settings import ConfigurationError, IndexTTS2Settings, MoshiSettings
from voice_core.tts import load_engine
from voice_core.tts.indextts2 import IndexTTS2Engine


def test_a_role_whose_voice_the_engine_lacks_is_named() -> None:
    check_voices(load_engine("hibari"), MoshiSettings(user_voice="default"))
    check_voices(load_engine("noise"), MoshiSettings(user_voice="anybody"))
    with pytest.raises(
        ConfigurationError, match=r"moshi.user_voice is 'haert': hibari has no such voice; it has heart"
    ):
        check_voices(load_engine("hibari"), MoshiSettings(user_voice="haert"))


def test_scripts_in_a_language_that_the_engine_does_not_speak_are_refused() -> None:
    check_voices(load_engine("hibari"), MoshiSettings(language="en_GB"))
    check_voices(load_engine("hibari"), MoshiSettings(language=""))  # whatever the engine speaks
    check_voices(load_engine("noise"), MoshiSettings(language="ar"))
    with pytest.raises(ConfigurationError, match=r"moshi.language is 'fr', and hibari speaks en"):
        check_voices(load_engine("hibari"), MoshiSettings(language="fr"))


def test_a_recording_that_is_not_there_is_a_voice_that_the_engine_lacks(tmp_path: Path) -> None:
    engine = IndexTTS2Engine(IndexTTS2Settings(voices={"ann": str(tmp_path / "ann.wav")}))
    settings = MoshiSettings(assistant_voice="ann", user_voice="default")
    with pytest.raises(ConfigurationError, match=r"moshi.assistant_voice is 'ann': .*ann.wav cannot be read"):
        check_voices(engine, settings)
    (tmp_path / "ann.wav").write_bytes(b"ann")
    check_voices(engine, settings)


def test_a_recording_is_known_by_its_content_whatever_it_is_called(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("ann", "ben", "sad"):
        (tmp_path / f"{name}.wav").write_bytes(name.encode())
    engine = IndexTTS2Engine(IndexTTS2Settings(voices={"ann": "~/ann.wav"}))
    settings = MoshiSettings(assistant_voice="default", user_voice="~/ben.wav")
    turns = (Turn("user", "Hello.", emotion="~/sad.wav"), Turn("assistant", "Hello.", "ann", "happy"))
    before = hash_recordings(engine, [Dialogue("d", turns)], settings)
    voices, emotions = before
    assert voices.keys() == {"default", "ann", "~/ben.wav"}
    assert voices["default"] == voices["ann"] != voices["~/ben.wav"]
    assert emotions.keys() == {"~/sad.wav"}
    for name, part in (("ann", 0), ("ben", 0), ("sad", 1)):
        (tmp_path / f"{name}.wav").write_bytes(b"another " + name.encode())
        after = hash_recordings(engine, [Dialogue("d", turns)], settings)
        assert [after[n] == before[n] for n in (0, 1)] == [part == 1, part == 0], name
        before = after


@pytest.mark.parametrize("name", ["v" * 300, "a\0b", "~nobody-of-this-name/x.wav", ".", "gone.wav"])
@pytest.mark.parametrize("engine", ["noise", "indextts2", "hibari"])
def test_a_voice_that_can_be_no_file_is_left_to_the_engine(name: str, engine: str) -> None:
    item = Dialogue("d", (Turn("user", "Hello.", name, name + ".wav"), *make_dialogue("d", "Hello.").turns))
    found = hash_recordings(load_engine(engine), [item], MoshiSettings())
    assert found == ({}, {})
