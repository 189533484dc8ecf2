"""The checks of a book's speech."""

import dataclasses
import json
from typing import Any

import pytest

from voice_assets_tests.core.audiobook.speech.babble import BOOK, write_book
from voice_assets_tests.core.audiobook.speech.conftest import SpeechBuilder
from voice_core.audiobook import audio_checks
from voice_core.audiobook.audio_manifest import ChunkAudioManifest
from voice_core.audiobook.chunk_manifest import BookManifest, read_book_manifest

TEXTS = ("It was a dark night on the moor.", "All of this is clipped.", "I refuse to say it.")


@pytest.fixture
def spoken(builder: SpeechBuilder) -> tuple[BookManifest, ChunkAudioManifest]:
    write_book(builder.store, *TEXTS)
    audio = builder.build().manifest
    text = read_book_manifest(builder.store, BOOK)
    assert text is not None
    return text, audio


def with_row(audio: ChunkAudioManifest, index: int, **columns: Any) -> ChunkAudioManifest:
    rows = list(audio.rows)
    rows[index] = dataclasses.replace(rows[index], **columns)
    return dataclasses.replace(audio, rows=tuple(rows))


def test_chunks_add_up(spoken: tuple[BookManifest, ChunkAudioManifest]) -> None:
    text, audio = spoken
    outcome = audio_checks.chunks_add_up(text, audio)
    assert (outcome.passed, outcome.figures) == (True, {"chunks": 3, "spoken": 2})
    rows = tuple(audio.rows)
    cases = {
        "the chunk 001-0003 has no row": rows[:2],
        "the chunk 001-0001 has 2 rows": (*rows, rows[0]),
        "the text has no chunk 009-0001": (*rows, dataclasses.replace(rows[0], chunk_id="009-0001")),
        "the rows are not in the order of the text": rows[::-1],
    }
    for message, some in cases.items():
        outcome = audio_checks.chunks_add_up(text, dataclasses.replace(audio, rows=some))
        assert (outcome.passed, message in outcome.message) == (False, True), message
    outcome = audio_checks.chunks_add_up(text, with_row(audio, 2, reason=""))
    assert "001-0003 has neither speech nor a reason" in outcome.message


def test_files_are_sound(builder: SpeechBuilder, spoken: tuple[BookManifest, ChunkAudioManifest]) -> None:
    _, audio = spoken
    key = audio.rows[0].key
    assert audio_checks.files_are_sound(builder.store, audio).passed
    for changed, message in (
        (with_row(audio, 0, sample_count=5), "must have 5 at 16000 Hz"),
        (dataclasses.replace(audio, sample_rate_hz=24_000), "must have"),
    ):
        assert message in audio_checks.files_are_sound(builder.store, changed).message
    data = builder.store.get(key)
    builder.store.put(key, data[:-1] + bytes([data[-1] ^ 1]))
    assert "is not the file that was committed" in audio_checks.files_are_sound(builder.store, audio).message
    builder.store.delete([key])
    assert f"{key} is missing" in audio_checks.files_are_sound(builder.store, audio).message


def test_exceptions_are_listed_worst_first_with_their_place(spoken: tuple[BookManifest, ChunkAudioManifest]) -> None:
    outcome = audio_checks.nothing_rejected(*spoken)
    assert (outcome.passed, outcome.warning) == (False, True)
    first, second = outcome.message.split("; 001-")
    assert first == (
        "001-0003 (chapter 1 'One', ch1.xhtml#p3) 'I refuse to say it.': babble does not say that"
    )  # fmt: skip
    assert second.startswith("0002 (chapter 1 'One', ch1.xhtml#p2) 'All of this is clipped.': ")
    assert outcome.figures["failed_tests"]["clipping"] == 1
    assert outcome.figures["failed_tests"]["speech_refused"] == 1


def test_words_were_recognised(spoken: tuple[BookManifest, ChunkAudioManifest]) -> None:
    _, audio = spoken
    assert "tier2 is disabled" in audio_checks.words_were_recognised(audio).message

    def heard(errors: int) -> str:
        tier2 = {
            "text": "it was a park",
            "words": 8,
            "errors": errors,
            "recogniser": "x",
            "word_error_rate": errors / 8,
        }
        return json.dumps({"tier2": tier2})

    good = audio_checks.words_were_recognised(with_row(audio, 0, metrics=heard(1)))
    assert (good.passed, good.figures) == (True, {"word_error_rate": 0.125, "words": 8, "recognised": 1})
    bad = audio_checks.words_were_recognised(with_row(audio, 0, metrics=heard(4), exceptions='[["words", "no"]]'))
    assert (bad.passed, bad.message) == (False, "001-0001: 4 of 8 words are wrong; x heard 'it was a park'")
