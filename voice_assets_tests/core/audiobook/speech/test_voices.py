"""Voices of books: recordings, engines that keep one voice, and levels that cannot be measured."""

from pathlib import Path
from typing import Any

import pytest

from voice_assets_tests.core.audiobook.speech.babble import BabbleEngine, make_chunk, write_book
from voice_assets_tests.core.audiobook.speech.conftest import SpeechBuilder
from voice_core.audiobook import audio_checks
from voice_core.audiobook.audio_manifest import ChunkAudioManifest
from voice_core.audiobook.voices import name_voices
from voice_core.settings import AudiobookSettings, ConfigurationError
from voice_core.synthesis import SynthesisOptions

TEXTS = ("It was a dark night on the moor.", "Nobody asked.", "The captain looked at the sky.", "Where are they now?")
SENTENCE = "Could you measure"  # of those over which levels are measured
CALIBRATION = ("The ferry leaves", SENTENCE, "She chose a warm")


def record(folder: Path, name: str, content: bytes) -> str:
    folder.mkdir(exist_ok=True)
    (folder / name).write_bytes(content)
    return str(folder / name)


def settings(folder: Path, anna: bytes = b"anna", ben: bytes = b"ben") -> dict[str, Any]:
    return {"voice": record(folder, "anna.wav", anna), "voices": {"Ben": record(folder, "ben.wav", ben)}}


def write_dialogue(builder: SpeechBuilder, given: dict[str, Any]) -> None:
    """Chunks of two voices in turn."""
    names = name_voices(BabbleEngine(clones=True), AudiobookSettings(**given))
    voices = [names[given["voice"]], names[given["voices"]["Ben"]]]
    write_book(builder.store, *(make_chunk(at, text, voices[at % 2]) for at, text in enumerate(TEXTS, 1)))


def test_recordings_are_named_by_file_and_content(tmp_path: Path) -> None:
    engine = BabbleEngine(clones=True)
    here, there = settings(tmp_path / "here"), settings(tmp_path / "there")
    [anna, ben] = name_voices(engine, AudiobookSettings(**here)).values()
    assert list(name_voices(engine, AudiobookSettings(**there)).values()) == [anna, ben]
    assert anna.startswith("anna.wav#")
    other = settings(tmp_path / "there", anna=b"another take")
    assert next(iter(name_voices(engine, AudiobookSettings(**other)).values())) not in (anna, ben)
    missing = AudiobookSettings(voice=str(tmp_path / "nobody.wav"))
    assert str(tmp_path) not in next(iter(name_voices(engine, missing).values()))
    assert name_voices(engine, AudiobookSettings(voice="near")) == {"near": "near"}
    assert name_voices(BabbleEngine(), AudiobookSettings(voice="far")) == {"far": "far"}


def test_an_engine_that_keeps_one_voice_speaks_voice_by_voice(builder: SpeechBuilder, tmp_path: Path) -> None:
    given = settings(tmp_path / "here")
    write_dialogue(builder, given)
    notes = tmp_path / "notes"
    report = builder.build(settings=given, clones=True, notes=str(notes))
    assert report.spoken == len(TEXTS)
    assert report.stats.voice_switches <= 4  # twice for the levels, twice for the chunks
    order = [line.partition(": ")[0] for line in notes.read_text().splitlines()]
    assert set(order) == {given["voice"], given["voices"]["Ben"]}
    manifest = report.manifest
    assert str(tmp_path) not in repr((manifest.parameters, manifest.gains_db, *manifest.rows))
    assert sorted(manifest.gains_db) == sorted({row.voice for row in manifest.rows})
    assert not list(manifest.exceptions())


def test_moved_recordings_speak_nothing_and_changed_ones_their_chunks(builder: SpeechBuilder, tmp_path: Path) -> None:
    given = settings(tmp_path / "here")
    write_dialogue(builder, given)
    builder.build(settings=given, clones=True)
    before = builder.files()
    moved = settings(tmp_path / "there")
    write_dialogue(builder, moved)
    assert builder.build(settings=moved, clones=True).stats.utterances == 0
    assert builder.files() == before
    changed = settings(tmp_path / "there", ben=b"another take")
    with pytest.raises(ConfigurationError, match="no recording of the settings has this content"):
        builder.build(settings=changed, clones=True)
    write_dialogue(builder, changed)
    assert builder.build(settings=changed, clones=True).spoken == len(TEXTS) // 2


def test_redo_of_an_engine_that_clones_speaks_the_next_take(builder: SpeechBuilder, tmp_path: Path) -> None:
    given = settings(tmp_path / "here")
    write_dialogue(builder, given)
    builder.build(settings=given, clones=True)
    report = builder.build(settings=given, clones=True, redo=["001-0002"])
    assert (report.spoken, report.manifest.rows[1].take, report.manifest.rows[0].take) == (1, 1, 0)
    assert builder.build(settings=given, clones=True).spoken == 0


def test_every_number_of_workers_gives_the_same_bytes_with_recordings(builder: SpeechBuilder, tmp_path: Path) -> None:
    given = settings(tmp_path / "here")
    write_dialogue(builder, given)
    builder.build(settings=given, clones=True)
    other = SpeechBuilder(tmp_path / "other")
    write_dialogue(other, given)
    other.build(SynthesisOptions("thread", 2), settings=given, clones=True)
    assert other.files() == builder.files()


def outcome(manifest: ChunkAudioManifest) -> str:
    found = audio_checks.levels_are_measured(manifest)
    return "" if found.passed else found.message


def test_a_level_that_could_not_be_measured_is_measured_by_the_next_build(builder: SpeechBuilder) -> None:
    write_book(builder.store, *TEXTS)
    first = builder.build(failing=CALIBRATION).manifest
    assert first.gains_db == {"near": 0.0}
    assert "the level of the voice 'near' could not be measured: TransientEngineError" in outcome(first)
    again = builder.build(failing=CALIBRATION)
    assert (again.spoken, again.stats.failures, again.manifest.to_bytes()) == (0, 3, first.to_bytes())
    measured = builder.build()
    assert (measured.spoken, measured.manifest.gains_db["near"] != 0, outcome(measured.manifest)) == (0, True, "")
    assert builder.build().stats.utterances == 0


def test_a_level_is_measured_over_the_sentences_that_could_be_spoken(builder: SpeechBuilder) -> None:
    write_book(builder.store, *TEXTS)
    assert outcome(builder.build(failing=(SENTENCE,)).manifest) == ""
