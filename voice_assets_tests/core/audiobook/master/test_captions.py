"""Captions name the words of the book at their times."""

import json

import pytest

from voice_assets_tests.core.audiobook.master.conftest import BookBuilder, speak
from voice_core.audiobook.audiobook_manifest import AudiobookManifest
from voice_core.corpus.ingest.transcript_types import Line
from voice_core.corpus.ingest.transcripts import parse_transcript

SENTENCES = ["Chapter one.", "It was late.", "Nobody came.", "The lamp went out, and then on."]


def lines(builder: BookBuilder, key: str) -> list[Line]:
    found = parse_transcript(builder.work.get(key), key).lines
    assert all(isinstance(line, Line) for line in found)
    return [line for line in found if isinstance(line, Line)]


def captions(manifest: AudiobookManifest, format: str, unit: str, chapter: int) -> str:
    (key,) = [
        row.key for row in manifest.of_format(format) if row.chapter == chapter and row.key.endswith(f"{unit}.{format}")
    ]
    return key


@pytest.mark.parametrize("format", ["srt", "vtt"])
def test_sentences_and_words_are_where_they_are_spoken(tale: BookBuilder, format: str) -> None:
    tale.write()
    manifest = tale.build(format).manifest
    assert not manifest.of_format("m4a")  # nothing is encoded for captions alone
    chapter = lines(tale, captions(manifest, format, "sentences", 1))
    assert [line.text for line in chapter] == SENTENCES
    words = lines(tale, captions(manifest, format, "words", 1))
    assert [line.text for line in words] == " ".join(SENTENCES).split()
    for cues in (chapter, words):
        times = [time for line in cues for time in (line.start_sec, line.end_sec)]
        assert times == sorted(times)
        assert all(line.start_sec < line.end_sec for line in cues)
    span = manifest.masters[1].spans[1]
    _, spoken = speak("It was late. Nobody came.")
    base = (span.start - span.lead) / tale.rate_hz
    assert chapter[2].start_sec == pytest.approx(base + spoken[3][1], abs=0.001)
    assert words[3].start_sec == pytest.approx(base + spoken[1][1], abs=0.001)


def test_the_files_of_the_book_have_the_times_of_the_m4b(tale: BookBuilder) -> None:
    tale.write()
    manifest = tale.build("vtt").manifest
    whole = lines(tale, captions(manifest, "vtt", "sentences", 0))
    last = lines(tale, captions(manifest, "vtt", "sentences", 3))
    start_sec = manifest.chapter_starts()[3] / tale.rate_hz
    assert [line.text for line in whole[-2:]] == [line.text for line in last]
    assert whole[-1].start_sec == pytest.approx(start_sec + last[-1].start_sec, abs=0.001)
    assert whole[-1].end_sec < manifest.duration_sec


def test_text_is_escaped(builder: BookBuilder) -> None:
    builder.add_chapter("", ["a <b> & c --> d"])
    builder.write()
    manifest = builder.build("srt", "vtt").manifest
    assert "a &lt;b&gt; &amp; c --&gt; d\n" in builder.work.get(captions(manifest, "vtt", "sentences", 1)).decode()
    (line,) = lines(builder, captions(manifest, "vtt", "sentences", 1))
    assert line.text == "a <b> & c --> d"
    (line,) = lines(builder, captions(manifest, "srt", "sentences", 1))
    assert line.text.replace("\u200b", "") == "a <b> & c --> d"


def test_words_that_are_not_those_of_the_text_are_spread_over_the_chunk(builder: BookBuilder) -> None:
    builder.add_chapter("", ["One two.|Three."])
    builder.write()
    builder.replace_words(json.dumps([["other", 0.1, 0.2]]))
    manifest = builder.build("vtt").manifest
    words = lines(builder, captions(manifest, "vtt", "words", 1))
    assert [line.text for line in words] == ["One", "two.", "Three."]
    sentences = lines(builder, captions(manifest, "vtt", "sentences", 1))
    assert [line.text for line in sentences] == ["One two.", "Three."]
    assert sentences[1].start_sec == words[2].start_sec
