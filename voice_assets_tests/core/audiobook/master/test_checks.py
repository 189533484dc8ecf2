"""The checks find what is planted."""

import dataclasses
import json

import pytest

from voice_assets_tests.core.audiobook.master.conftest import BOOK, BookBuilder
from voice_core.audiobook.audio_manifest import ChunkAudioManifest, read_audio_manifest
from voice_core.audiobook.audiobook_checks import acx_is_met, files_are_sound, marks_fit
from voice_core.audiobook.audiobook_manifest import AudiobookManifest
from voice_core.audiobook.chunk_manifest import BookManifest, read_book_manifest
from voice_core.audiobook.mastering.assembly import ChunkSpan
from voice_core.fingerprint import sha256

Built = tuple[BookManifest, ChunkAudioManifest, AudiobookManifest]


@pytest.fixture
def built(tale: BookBuilder) -> Built:
    tale.write()
    manifest = tale.build("vtt").manifest
    text, speech = read_book_manifest(tale.work, BOOK), read_audio_manifest(tale.work, BOOK)
    assert text is not None
    assert speech is not None
    return text, speech, manifest


def with_spans(manifest: AudiobookManifest, spans: list[ChunkSpan], sample_count: int = 0) -> AudiobookManifest:
    master = manifest.masters[1]
    changed = dataclasses.replace(master, spans=spans, sample_count=sample_count or master.sample_count)
    return dataclasses.replace(manifest, masters={**manifest.masters, 1: changed})


def test_marks_that_do_not_fit_are_found(built: Built) -> None:
    text, speech, manifest = built
    assert marks_fit(manifest, text, speech).figures["sentences"] == 6
    spans = list(manifest.masters[1].spans)
    for wrong, message in (
        (with_spans(manifest, spans[:-1]), "2 chunks have a place, but 3 have speech"),
        (
            with_spans(manifest, [spans[0], dataclasses.replace(spans[1], start=10), spans[2]]),
            "begins before the chunk",
        ),
        (with_spans(manifest, spans, 1024 * 40), "sentence 1 of chunk 001-0003 overlaps another or the chapter's end"),
        (with_spans(manifest, spans, 1025), "1025 samples are not a whole number of frames"),
        (dataclasses.replace(manifest, masters={1: manifest.masters[1]}), "1 chapters are mastered, but 2 have speech"),
    ):
        outcome = marks_fit(wrong, text, speech)
        assert not outcome.passed
        assert message in outcome.message


def test_a_file_that_is_truncated_added_or_too_short_is_found(tale: BookBuilder) -> None:
    tale.write()
    manifest = tale.build("m4b", "flac").manifest
    flac = manifest.of_format("flac")
    short = tale.work.get(flac[1].key)
    assert flac[0].sample_count != flac[1].sample_count
    row = dataclasses.replace(flac[0], sha256=sha256(short), size_bytes=len(short))
    tale.work.put(row.key, short)
    tale.work.put("audiobooks/tale/extra.mp3", b"x")
    rows = [row if item.key == row.key else item for item in manifest.rows]
    outcome = files_are_sound(tale.work, dataclasses.replace(manifest, rows=rows))
    assert f"{row.key} has " in outcome.message
    assert "extra.mp3 is not listed" in outcome.message


def test_a_file_outside_of_the_limits_of_acx_and_a_missing_one_are_found(tale: BookBuilder) -> None:
    tale.write()
    manifest = tale.build("acx").manifest
    row = manifest.of_format("acx")[0]
    loud = dataclasses.replace(row, metrics=json.dumps({**json.loads(row.metrics), "peak_dbfs": -2.9}))
    outcome = acx_is_met(dataclasses.replace(manifest, rows=[loud]))
    assert f"{row.key}: peak -2.9 dBFS, above -3" in outcome.message
    assert "chapter 3 has no file" in outcome.message
